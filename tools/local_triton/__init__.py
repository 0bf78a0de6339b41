"""The real tritonserver from the PyPI wheel nvidia-pytriton, run on a model repository of ours."""

from ._errors import (
    InstallationError,
    ModelLoadError,
    NotReadyError,
    PortTakenError,
    RepositoryError,
    ServeError,
    ServerExitedError,
)
from ._server import LocalServer

__all__ = [
    "InstallationError",
    "LocalServer",
    "ModelLoadError",
    "NotReadyError",
    "PortTakenError",
    "RepositoryError",
    "ServeError",
    "ServerExitedError",
]
