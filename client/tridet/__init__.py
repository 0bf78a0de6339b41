"""tridet: detect objects with a YOLO-family detector that a Triton server serves.

>>> from tridet import Detector
>>> with Detector("localhost:8001", "pcb") as detector:
...     detections = detector("board.jpg")
"""

from tridet.async_detector import AsyncDetector
from tridet.channel import TLS
from tridet.detections import Detection, Detections
from tridet.detector import Detector
from tridet.exceptions import (
    ContractMismatch,
    InvalidInput,
    MissingExtra,
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
from tridet.groups import MemberInfo
from tridet.images import ImageLike
from tridet.model import ModelInfo
from tridet.options import Thresholds
from tridet.streaming.api import Stream, stream
from tridet.streaming.frames import Event, Frame, StreamResult
from tridet.streaming.stats import Snapshot
from tridet.transports import Transport
from tridet.versions import installed_versions as _installed_versions

# The sources may be on the path without being installed.
__version__ = _installed_versions(["tridet"]).get("tridet", "0+unknown")

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
    "MissingExtra",
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
