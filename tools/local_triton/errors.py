"""What can go wrong when a local server is started.

ServeError                one line that names the cause and the fix
├── InstallationError     this machine or this Python environment cannot run the server
├── RepositoryError       the repository or a model asked for is not there
├── PortTakenError        another process holds a port (option: which one)
├── ModelLoadError        Triton refused a model (failures: model name -> Triton's reason)
├── NotReadyError         not ready within the time given
└── ServerExitedError     the server stopped when it should not have
"""

from __future__ import annotations

from collections.abc import Mapping


class ServeError(Exception):
    """Base of everything that this package raises on purpose; its text is one line."""


class InstallationError(ServeError):
    """This machine or this Python environment cannot run the wheel's tritonserver."""


class RepositoryError(ServeError):
    """The model repository, or a model asked for, is missing or empty."""


class PortTakenError(ServeError):
    """A port is held by another process, or cannot be bound."""

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


class ModelLoadError(ServeError):
    """Triton refused one or more models."""

    def __init__(self, message: str, failures: Mapping[str, str]) -> None:
        super().__init__(message)
        self.failures = dict(failures)


class NotReadyError(ServeError):
    """The server did not become ready within the time given."""


class ServerExitedError(ServeError):
    """The server process ended when it should have served."""
