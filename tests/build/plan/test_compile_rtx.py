"""Real compiles with TensorRT for RTX, which needs no GPU; skipped where it is not installed.

pip install polygraphy tensorrt-rtx-cu13
"""

import errno
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from plan_files import SIZE, SMALL, TENSORRT, layer, write_graph
from rich.console import Console
from stub_onnx import write_sampling_stub
from tridet_build.errors import PlanError
from tridet_build.manifest.sizes import Sizes, Span
from tridet_build.onnx.serving_graph import serving_graph
from tridet_build.plan import file as plan_file
from tridet_build.plan import inspect as plan_inspect
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import machine
from tridet_build.plan import runtime as plan_runtime
from tridet_build.plan.compile import build_plan
from tridet_build.plan.settings import PlanSettings

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def rtx() -> Iterator[Any]:
    """The real parser and compiler, which need no GPU; an optional install of 260 MB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
        pytest.importorskip("polygraphy")
        trt = pytest.importorskip("tensorrt_rtx")
        plan_runtime.use_rtx()
        yield trt


@pytest.mark.usefixtures("rtx")
class TestRtx:
    """What build_plan does, on the real thing."""

    @pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
    def test_compiles(self, tmp_path: Path, kind: Any) -> None:
        graph = write_graph(tmp_path / "model.onnx", kind)
        out, log = tmp_path / "pcb_detector" / "1" / "model.plan", io.StringIO()
        settings = PlanSettings(
            precision=kind,
            batch=Span(1, 2, 4),
            size=Span.only(SIZE),
            workspace_mib=256,
            optimization_level=2,
            timing_cache=tmp_path / "timing.cache",
        )
        report = build_plan(graph, out, settings, console=Console(file=log, width=80))
        assert (report.asked, report.achieved) == (kind, kind)
        assert report.network == {kind: 1}
        assert report.bytes == out.stat().st_size
        assert plan_file.identify(out).version == report.version
        assert "model: Building engine" in log.getvalue()
        assert [path.name for path in out.parent.iterdir()] == ["model.plan"]

    def test_compiles_a_dynamic_size(self, tmp_path: Path) -> None:
        graph = write_graph(tmp_path / "model.onnx", size="h_in, w_in")
        span = Span(32, 64, 128)
        settings = PlanSettings(batch=Span(1, 2, 4), size=span)
        report = build_plan(graph, tmp_path / "model.plan", settings)
        assert report.profile == ((1, 32, 32, 3), (2, 64, 64, 3), (4, 128, 128, 3))

    def test_compiles_the_serving_graph_of_several_sizes(self, tmp_path: Path) -> None:
        write_sampling_stub(tmp_path / "stub.onnx")
        sizes = Sizes(64, 96, 160)
        graph = serving_graph(tmp_path / "stub.onnx", input_size=sizes, classes=3, candidates=40)
        onnx.save(graph, tmp_path / "model.onnx")
        settings = PlanSettings(batch=Span(1, 2, 4), size=sizes)
        report = build_plan(tmp_path / "model.onnx", tmp_path / "model.plan", settings)
        assert report.profile == ((1, 64, 64, 3), (2, 96, 96, 3), (4, 160, 160, 3))
        assert (tmp_path / "model.plan").stat().st_size == report.bytes

    @pytest.mark.parametrize(
        "options", [{"hardware": "ampere_plus"}, {"hardware": "same_compute_capability"}]
    )
    def test_takes_hardware_levels(self, tmp_path: Path, options: dict[str, Any]) -> None:
        settings = PlanSettings(batch=Span(1, 2, 4), size=Span.only(SIZE), **options)
        assert build_plan(write_graph(tmp_path / "model.onnx"), None, settings).bytes > 0

    def test_is_silent(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        build_plan(write_graph(tmp_path / "model.onnx"), None, SMALL)
        assert capfd.readouterr() == ("", "")

    def test_names_the_operator_it_refuses(self, tmp_path: Path) -> None:
        graph = write_graph(tmp_path / "model.onnx", operator="my.domain.Magic")
        with pytest.raises(PlanError, match=r"refuses it: operator Magic \(.*\): invalid node: "):
            build_plan(graph, tmp_path / "model.plan", SMALL)
        assert not (tmp_path / "model.plan").exists()

    @pytest.mark.parametrize(
        ("holds", "asked"), [("fp32", "fp16"), ("fp16", "fp32"), ("fp16", "int8")]
    )
    def test_another_precision_is_an_error(self, tmp_path: Path, holds: str, asked: Any) -> None:
        graph = write_graph(tmp_path / "model.onnx", holds)
        settings = PlanSettings(precision=asked, batch=Span(1, 2, 4), size=Span.only(SIZE))
        with pytest.raises(PlanError, match=f"precision: asked for {asked}, but of 1 .*{holds} 1"):
            build_plan(graph, None, settings)

    def test_an_engine_that_says_nothing_of_its_layers_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the one of a TensorRT whose inspector writes other words; played on a real compile."""
        trt = plan_runtime.tensorrt()[0]
        monkeypatch.setattr(plan_runtime, "tensorrt", lambda: (trt, "tensorrt"))
        monkeypatch.setattr(plan_runtime, "load_bytes", lambda *_: None)
        says = {"Layers": ["conv_0"]}
        monkeypatch.setattr(
            plan_runtime, "engine_layers", lambda *_: plan_layers.of_engine(json.dumps(says))
        )
        graph, out = write_graph(tmp_path / "model.onnx"), tmp_path / "model.plan"
        with pytest.raises(PlanError, match="the built engine differs: asked for fp32, but no lay"):
            build_plan(graph, out, SMALL)
        assert not out.exists()
        says["Layers"] = [layer("CaskConvolution", "Float", "Float", key="DataType")]  # type: ignore[list-item]
        assert build_plan(graph, out, SMALL).engine == {"fp32": 1}

    @pytest.mark.parametrize(("version", "newest"), [("10.0.1", 20), ("10.15.1", 24)])
    def test_an_opset_that_this_tensorrt_does_not_parse(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, newest: int
    ) -> None:
        """It would parse it without a word, and read newer operators as if they were older."""
        trt = SimpleNamespace(__version__=version)
        monkeypatch.setattr(plan_runtime, "tensorrt", lambda: (trt, "tensorrt"))
        graph = write_graph(tmp_path / "model.onnx")
        model = onnx.load(graph)
        model.opset_import[0].version = newest + 1
        onnx.save(model, graph)
        complaint = (
            f"expected opset {newest} or older, as TensorRT {version} parses, got {newest + 1}"
        )
        with pytest.raises(PlanError, match=complaint):
            build_plan(graph, None, SMALL)

    def test_dla_is_refused(self, tmp_path: Path) -> None:
        settings = PlanSettings(batch=Span(1, 2, 4), size=Span.only(SIZE), dla=True)
        with pytest.raises(PlanError, match="dla: TensorRT for RTX has none"):
            build_plan(write_graph(tmp_path / "model.onnx"), None, settings)

    def test_full_disk_keeps_the_old_plan(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from polygraphy.backend import common

        out = tmp_path / "model.plan"
        out.write_bytes(b"old")

        class Full:
            def __init__(self, _: bytes, path: str) -> None:
                self.path = Path(path)

            def __call__(self) -> None:
                self.path.write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(common, "SaveBytes", Full)
        with pytest.raises(PlanError, match=r"cannot be written: .*No space left on device"):
            build_plan(write_graph(tmp_path / "model.onnx"), out, SMALL)
        assert out.read_bytes() == b"old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.plan"]

    def test_ctrl_c_keeps_the_old_plan(self, tmp_path: Path) -> None:
        out = tmp_path / "model.plan"
        out.write_bytes(b"old")

        class Impatient(io.StringIO):
            def write(self, text: str) -> int:
                if "Preparing" in text:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().write(text)

        console = Console(file=Impatient(), width=80)
        with pytest.raises(KeyboardInterrupt):
            build_plan(write_graph(tmp_path / "model.onnx"), out, SMALL, console=console)
        assert out.read_bytes() == b"old"

    def test_loading_without_a_gpu_says_so(self, tmp_path: Path) -> None:
        if machine.gpus():
            pytest.skip("there is a GPU here")
        out = tmp_path / "model.plan"
        build_plan(write_graph(tmp_path / "model.onnx"), out, SMALL)
        with pytest.raises(
            PlanError, match=r"cannot load it \(built with 1\..+\): .+; a plan runs"
        ):
            plan_inspect.engine_info(out)

    def test_a_plan_of_tensorrt_is_not_loaded(self, tmp_path: Path) -> None:
        plan = tmp_path / "model.plan"
        plan.write_bytes(TENSORRT)
        with pytest.raises(PlanError, match="expected a plan of tensorrt-rtx"):
            plan_inspect.engine_info(plan)
