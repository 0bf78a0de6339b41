"""What several folders of tests start from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from stub_onnx import write_detector, write_stub
from tridet_build.chain import prepare as chain
from tridet_build.manifest.manifest import Manifest, load_manifest
from tridet_build.plan.runtime import use_rtx


@pytest.fixture
def detector(tmp_path: Path) -> Manifest:
    write_detector(tmp_path / "one")
    return load_manifest(tmp_path / "one")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ModelOpt played by a stub in FP16, and one whose weights are quite off (INT8)."""
    calls: list[str] = []

    def to_fp16(source: Path, out: Path, **_: Any) -> None:
        calls.append("fp16")
        assert source.name == "weights.onnx"
        out.parent.mkdir(parents=True, exist_ok=True)
        write_stub(out, half=True)

    def to_int8(source: Path, out: Path, **_: Any) -> SimpleNamespace:
        calls.append("int8")
        model = onnx.load(source)
        (scaled,) = (one for one in model.graph.initializer if one.name == "scaled")
        values = numpy_helper.to_array(scaled) * np.float32(0.2)
        scaled.CopyFrom(numpy_helper.from_array(values, "scaled"))
        out.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, out)
        used = {"images_sha256": "cd" * 32, "samples": 3, "method": "entropy"}
        used["unreadable"] = ["9.png: no image"]
        return SimpleNamespace(calibration=used)

    monkeypatch.setattr(chain, "to_fp16", to_fp16)
    monkeypatch.setattr(chain, "to_int8", to_int8)
    return calls


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans be written by TensorRT for RTX, which needs no GPU."""
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
    use_rtx()
