"""tridet: detect objects with a YOLO-family detector that a Triton server serves.

>>> from tridet import Detector
>>> with Detector("localhost:8001", "pcb") as detector:
...     detections = detector("board.jpg")
"""

from tridet import ctrl_c as _ctrl_c  # noqa: F401  # isort: skip -- before what takes long

import importlib as _importlib
import typing as _typing

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
from tridet.transports import Transport

if _typing.TYPE_CHECKING:
    from tridet.streaming.api import Stream, stream
    from tridet.streaming.frames import Event, Frame, StreamResult
    from tridet.streaming.stats import Snapshot

__version__ = "0.1.0"  # of both distributions: their pyproject.toml read it here

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

# Imported when they are first asked for: who detects in images need not wait for the streams.
_STREAMING = {
    "Event": "frames",
    "Frame": "frames",
    "Snapshot": "stats",
    "Stream": "api",
    "StreamResult": "frames",
    "stream": "api",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _STREAMING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"tridet.streaming.{_STREAMING[name]}"), name)
    globals()[name] = value
    return value
