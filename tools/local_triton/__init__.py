"""The real tritonserver from the PyPI wheel nvidia-pytriton, run on a model repository of ours.

from local_triton import LocalServer
with LocalServer("model_repository") as server:
    ...  # server.grpc_url
"""

from .environment import ALLOCATOR
from .errors import (
    InstallationError,
    ModelLoadError,
    NotReadyError,
    PortTakenError,
    RepositoryError,
    ServeError,
    ServerExitedError,
)
from .server import LocalServer
from .updates import RepositoryUpdates

__all__ = [
    "ALLOCATOR",
    "InstallationError",
    "LocalServer",
    "ModelLoadError",
    "NotReadyError",
    "PortTakenError",
    "RepositoryError",
    "RepositoryUpdates",
    "ServeError",
    "ServerExitedError",
]
