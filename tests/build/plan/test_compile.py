"""What stops a build before TensorRT; test_compile_rtx has the real compiles."""

import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from plan_files import SMALL, write_graph
from tridet_build.errors import OnnxError, PlanError
from tridet_build.manifest.sizes import Span
from tridet_build.plan import runtime as plan_runtime
from tridet_build.plan.compile import build_plan
from tridet_build.plan.settings import PlanSettings


@pytest.fixture
def no_polygraphy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polygraphy", None)


@pytest.mark.usefixtures("no_polygraphy")
def test_without_tensorrt_the_package_to_install_is_named(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    with pytest.raises(PlanError, match=r"pip install 'tridet-build\[full\]'"):
        build_plan(graph, tmp_path / "model.plan", SMALL)
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize(
    ("flavour", "version", "newest"),
    [
        ("tensorrt", "10.0.1", 20),
        ("tensorrt", "10.14.1.48", 22),
        ("tensorrt", "10.15.0", 24),
        ("tensorrt", "11.4.0.7", 24),
        ("tensorrt", "11.5.0", 25),
        ("tensorrt", "12.0.1", 25),
        ("tensorrt-rtx", "1.7.1.116", 25),
    ],
)
def test_newest_opset(flavour: Any, version: str, newest: int) -> None:
    assert plan_runtime.newest_opset(flavour, version) == newest


def test_an_older_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polygraphy", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    sys.modules["polygraphy"].config = type("config", (), {"USE_TENSORRT_RTX": False})  # type: ignore[attr-defined]
    sys.modules["tensorrt"].__version__ = "8.6.1"  # type: ignore[attr-defined]
    with pytest.raises(PlanError, match=r"expected TensorRT 10 or newer, found 8\.6\.1"):
        plan_runtime.tensorrt()


def test_rtx_after_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "0")
    module = type(sys)("polygraphy.config")
    module.USE_TENSORRT_RTX = False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "polygraphy.config", module)
    monkeypatch.delitem(sys.modules, "polygraphy.backend.trt", raising=False)
    plan_runtime.use_rtx()
    assert module.USE_TENSORRT_RTX
    module.USE_TENSORRT_RTX = False
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", type(sys)("polygraphy.backend.trt"))
    with pytest.raises(PlanError, match="start a new process"):
        plan_runtime.use_rtx()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        (b"hello world", "not a readable ONNX model"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnnxError, match=complaint):
        build_plan(path, None, SMALL)


def test_an_opset_of_the_future_is_refused(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    model = onnx.load(graph)
    model.opset_import[0].version = 99
    onnx.save(model, graph)
    with pytest.raises(PlanError, match=r"expected opset \d+ or older \(of onnx .*\), got 99"):
        build_plan(graph, None, SMALL)


@pytest.mark.parametrize(
    "settings",
    [
        PlanSettings(batch=Span(1, 2, 4), size=Span.only(32)),
        PlanSettings(batch=Span(1, 2, 4), size=Span(32, 64, 96)),
    ],
)
def test_a_profile_that_the_graph_has_not(tmp_path: Path, settings: PlanSettings) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    with pytest.raises(PlanError, match=r"expected a serving graph .* got images UINT8 \[batch, 6"):
        build_plan(graph, None, settings)
