"""tridet: detect objects with a YOLO-family detector that a Triton server serves.

>>> from tridet import Detector
>>> with Detector("localhost:8001", "pcb") as detector:
...     detections = detector("board.jpg")
"""

from importlib.metadata import PackageNotFoundError, version

from tridet._async_detector import AsyncDetector
from tridet._channel import TLS
from tridet._detections import Detection, Detections
from tridet._detector import Detector
from tridet._exceptions import (
    ContractMismatch,
    InvalidInput,
    ModelUnknown,
    Overloaded,
    ServerFailed,
    ServerNotReady,
    ServerUnreachable,
    SharedMemoryUnavailable,
    SinkFailed,
    SourceFailed,
    TimedOut,
    TridetError,
)
from tridet._groups import MemberInfo
from tridet._images import ImageLike
from tridet._model import ModelInfo
from tridet._stream.api import stream
from tridet._stream.frames import Event, Frame, StreamResult
from tridet._stream.stats import Snapshot
from tridet._stream.stream import Stream
from tridet._thresholds import Thresholds
from tridet._transports import Transport

try:
    __version__ = version("tridet")
except PackageNotFoundError:  # the sources are on the path, but not installed
    __version__ = "0+unknown"

__all__ = [
    "TLS",
    "AsyncDetector",
    "ContractMismatch",
    "Detection",
    "Detections",
    "Detector",
    "Event",
    "Frame",
    "ImageLike",
    "InvalidInput",
    "MemberInfo",
    "ModelInfo",
    "ModelUnknown",
    "Overloaded",
    "ServerFailed",
    "ServerNotReady",
    "ServerUnreachable",
    "SharedMemoryUnavailable",
    "SinkFailed",
    "Snapshot",
    "SourceFailed",
    "Stream",
    "StreamResult",
    "Thresholds",
    "TimedOut",
    "Transport",
    "TridetError",
    "__version__",
    "stream",
]
