"""What the package exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tridet

HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "ultralytics",
    "supervision",
    "matplotlib",
    "av",
    "trackers",
)
CLI_ONLY = ("click", "rich")


def test_exported_members():
    assert tridet.__all__ == [
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
    for name in tridet.__all__:
        assert hasattr(tridet, name)


def test_every_error_is_exported():
    from tridet import exceptions as _exceptions

    errors = {name for name, value in vars(_exceptions).items() if isinstance(value, type)}
    assert errors <= set(tridet.__all__)


@pytest.mark.parametrize(
    ("module", "absent"), [("tridet", HEAVY + CLI_ONLY), ("tridet.cli.main", HEAVY)]
)
def test_imports_stay_light(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
