"""What a file named model.plan is, told without TensorRT."""

import re
from pathlib import Path

import pytest
from plan_files import RTX, TENSORRT, wrapped, write_graph
from tridet_build.plan import file as plan_file


@pytest.mark.parametrize(
    ("content", "kind", "version", "complaint"),
    [
        (TENSORRT, "tensorrt", "10.14.1.48", None),
        (RTX, "tensorrt-rtx", "1.7.1.116", "TensorRT for RTX 1.7.1.116, which Triton"),
        (wrapped(), "ultralytics", "10.14.1.48", r"Ultralytics .engine \(TensorRT 10.14.1.48"),
        (wrapped(b"?" * 30), "ultralytics", None, "an Ultralytics .engine, not a plan"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "text", None, "Git LFS pointer"),
        (b"", "empty", None, "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "?", None, "its first bytes are unknown"),
        (b"ftr", "text", None, "a text file"),
        (b"ftrt", "tensorrt", None, None),
        (b"\xff" * 3, "?", None, "unknown"),
    ],
)
def test_identify(
    tmp_path: Path, content: bytes, kind: str, version: str | None, complaint: str | None
) -> None:
    path = tmp_path / "model.plan"
    path.write_bytes(content)
    found = plan_file.identify(path)
    assert (found.kind, found.version) == (kind, version)
    if complaint is None:
        assert found.problem is None
    else:
        assert found.problem is not None
        assert re.search(complaint, found.problem)
        assert "\n" not in found.problem


def test_identify_onnx(tmp_path: Path) -> None:
    assert plan_file.identify(write_graph(tmp_path / "model.plan")).kind == "onnx"


def test_identify_unreadable(tmp_path: Path) -> None:
    with pytest.raises(plan_file.PlanFileError, match="cannot be read"):
        plan_file.identify(tmp_path / "none")


def test_unwrap(tmp_path: Path) -> None:
    engine, out = tmp_path / "best.engine", tmp_path / "1" / "model.plan"
    engine.write_bytes(wrapped(task="detect"))
    found = plan_file.unwrap(engine, out, tensorrt="10.14.1.48")
    assert out.read_bytes() == TENSORRT
    assert found.metadata is not None
    assert found.metadata["task"] == "detect"


@pytest.mark.parametrize(
    ("content", "here", "complaint"),
    [
        (wrapped(), "10.13.0.35", "holds a plan of TensorRT 10.14.1.48, expected 10.13.0.35"),
        (wrapped(), None, "found no TensorRT here"),
        (wrapped(b""), "10.14.1.48", "expected a plan behind the JSON header, found none"),
        (TENSORRT, "10.14.1.48", "expected an Ultralytics .engine, found tensorrt"),
    ],
)
def test_unwrap_refuses(tmp_path: Path, content: bytes, here: str | None, complaint: str) -> None:
    engine, out = tmp_path / "best.engine", tmp_path / "model.plan"
    engine.write_bytes(content)
    with pytest.raises(plan_file.PlanFileError, match=complaint):
        plan_file.unwrap(engine, out, tensorrt=here)
    assert not out.exists()


def test_same_version_compares_as_far_as_both_go() -> None:
    assert plan_file.same_version("10.14.1", "10.14.1.48")
    assert plan_file.same_version("10.14.1.48+cuda13.0", "10.14.1.48")
    assert not plan_file.same_version("10.14.1.48", "10.14.1.5")
