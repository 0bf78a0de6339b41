"""The real tritonserver from the PyPI wheel nvidia-pytriton, run on a model repository of ours.

from local_triton import LocalServer
with LocalServer("model_repository") as server:
    ...  # server.grpc_url
"""

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
from ._updates import RepositoryUpdates

__all__ = [
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
