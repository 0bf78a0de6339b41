"""Reading, verifying and timing a plan, with stand-ins for the engine and the GPU."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_files import layer
from stub_onnx import write_detector
from tridet.processing.parameters import NmsParameters
from tridet_build.errors import ImagesError, PlanError
from tridet_build.gate.detections import session
from tridet_build.manifest.manifest import load_manifests
from tridet_build.plan import inspect as plan_inspect
from tridet_build.plan import verify as plan_verify
from tridet_build.repository.render import write

# Figures ------------------------------------------------------------------------------------------


def test_speed_and_its_table() -> None:
    row = plan_inspect.speed(8, True, [0.001, 0.002, 0.003], 400)
    assert (row.latency_p50_ms, row.images_per_s) == (2.0, 3200.0)
    assert len(plan_inspect.speed_table([row]).rows) == 1


def test_timing_counts_calls() -> None:
    ticks = iter(range(10_000))
    calls = []
    latencies, rate = plan_inspect._timed(
        lambda: calls.append(1), lambda: None, 100.0, lambda: float(next(ticks))
    )
    assert set(latencies) == {1.0}
    assert rate == pytest.approx(10 / 1, rel=0.2)


def test_engine_table() -> None:
    shapes = ((1, 64, 64, 3), (2, 64, 64, 3), (4, 64, 64, 3))
    info = plan_inspect.EngineInfo(
        "10.14.1.48",
        (plan_inspect.TensorInfo("images", True, "UINT8", (-1, 64, 64, 3), (shapes,)),),
        12,
        3 << 20,
        {"fp16": 8},
    )
    assert "12 layers (fp16 8), 3.0 MiB" in str(info.table().caption)


# Verification and timing, with stand-ins for the engine -------------------------------------------


class FakeTensorType:
    name, itemsize = "UINT8", 1


class FakeEngine:
    """What is used of ``trt.ICudaEngine`` and its context: one input, one output."""

    num_io_tensors, num_optimization_profiles, num_layers = 2, 1, 3
    device_memory_size_v2 = 1 << 20

    def __init__(self) -> None:
        self.calls = 0
        self.shape: tuple[int, ...] = ()

    def get_tensor_name(self, index: int) -> str:
        return ("boxes", "images")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "images" else "out"

    def get_tensor_dtype(self, _: str) -> type[FakeTensorType]:
        return FakeTensorType

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return self.shape or (-1, 8, 8, 3)

    def get_tensor_profile_shape(self, _: str, __: int) -> list[tuple[int, ...]]:
        return [(1, 8, 8, 3), (2, 8, 8, 3), (4, 8, 8, 3)]

    def create_engine_inspector(self) -> "FakeEngine":
        return self

    def get_engine_information(self, _: object) -> str:
        return json.dumps({"Layers": [layer("gemm", "Half", "Half")]})

    def create_execution_context(self) -> "FakeEngine":
        return self

    def set_input_shape(self, _: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return shape[0] <= 4

    def set_tensor_address(self, *_: object) -> bool:
        return True

    def execute_async_v3(self, _: int) -> bool:
        self.calls += 1
        return True


class FakeCuda:
    """What is used of ``polygraphy.cuda``, and of the CUDA runtime behind it."""

    ptr = 1

    def __init__(self) -> None:
        self.log: list[str] = []
        self.handle = self

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        return lambda *_: self.log.append(name)

    def Stream(self) -> "FakeCuda":  # noqa: N802
        return self

    @property
    def DeviceArray(self) -> "FakeCuda":  # noqa: N802
        return self

    def wrapper(self) -> "FakeCuda":
        return self

    def check(self, status: object) -> None:
        assert status is None

    def __enter__(self) -> "FakeCuda":
        return self

    def __exit__(self, *_: object) -> None: ...

    def synchronize(self) -> None: ...

    def free(self) -> None:
        self.log.append("free")

    def raw(self, shape: tuple[int]) -> "FakeCuda":
        assert shape[0] > 0
        return self

    def copy_from(self, frames: np.ndarray) -> None:
        assert frames.dtype == np.uint8


@pytest.fixture
def fake_polygraphy(monkeypatch: pytest.MonkeyPatch) -> Any:
    names = ("", ".config", ".exception", ".backend", ".backend.trt", ".logger")
    modules = {name: type(sys)(f"polygraphy{name}") for name in names}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"polygraphy{name}", module)
    root: Any = modules[""]
    root.config, root.cuda = modules[".config"], FakeCuda()
    root.config.USE_TENSORRT_RTX = False
    modules[".exception"].PolygraphyException = RuntimeError  # type: ignore[attr-defined]
    trt: Any = type(sys)("tensorrt")
    trt.__version__ = "10.14.1.48"
    trt.TensorIOMode = type("TensorIOMode", (), {"INPUT": "in"})
    trt.LayerInformationFormat = type("LayerInformationFormat", (), {"JSON": "json"})
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    return root


def test_engine_info(fake_polygraphy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fake_polygraphy
    monkeypatch.setattr(plan_inspect, "load", lambda _: FakeEngine())
    info = plan_inspect.engine_info(Path("model.plan"))
    assert [tensor.name for tensor in info.tensors] == ["images", "boxes"]
    assert info.tensors[0].profiles == (((1, 8, 8, 3), (2, 8, 8, 3), (4, 8, 8, 3)),)
    assert (info.layers, info.memory_bytes, info.precisions) == (3, 1 << 20, {"fp16": 1})


def test_measure_runs_each_batch_with_and_without_cuda_graph(
    fake_polygraphy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(plan_inspect, "load", lambda _: engine)
    ticks = iter(range(10_000))
    speeds = plan_inspect.measure(
        Path("model.plan"), [1, 4], seconds=40.0, clock=lambda: float(next(ticks))
    )
    assert [(s.batch, s.cuda_graph) for s in speeds] == [
        (n, g) for n in (1, 4) for g in (False, True)
    ]
    log = fake_polygraphy.cuda.log
    assert log.index("cudaStreamBeginCapture") < log.index("cudaStreamEndCapture")
    assert log.count("cudaGraphInstantiateWithFlags") == log.count("cudaGraphDestroy") == 2
    assert log.count("free") == 4
    with pytest.raises(PlanError, match=r"the plan does not take images \[8, 8, 8, 3\]"):
        plan_inspect.measure(Path("model.plan"), [8])


@pytest.fixture
def served(tmp_path: Path) -> Path:
    write_detector(tmp_path / "one")
    write(load_manifests([tmp_path / "one"]), tmp_path / "repository")
    return tmp_path / "repository" / "one_detector" / "1" / "model.onnx"


THRESHOLDS = NmsParameters(conf=0.05, iou=0.7, max_det=300, agnostic=False)
# Square, so that no box of the stub lies in the letterbox's border and is clipped to nothing.
PICTURES = 3 * [Path(__file__).parents[3] / "models/pcb/samples/board-red-960x960.jpg"]


class FakeRunner:
    """TrtRunner's part, played by ONNX Runtime, optionally with all scores scaled."""

    scale = 1.0

    def __init__(self, graph: Path) -> None:
        self.session = session(graph.read_bytes())

    def __enter__(self) -> "FakeRunner":
        return self

    def __exit__(self, *_: object) -> None: ...

    def infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = ["boxes", "scores", "class_ids"]
        outputs = dict(zip(names, self.session.run(names, feed), strict=True))
        outputs["scores"] *= np.float32(self.scale)
        return outputs


def test_verify_plan(served: Path, fake_polygraphy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fake_polygraphy
    sys.modules["polygraphy.backend.trt"].TrtRunner = FakeRunner  # type: ignore[attr-defined]
    monkeypatch.setattr(plan_verify, "load", lambda _: served)
    same = plan_verify.verify_plan(Path("model.plan"), served, PICTURES, THRESHOLDS, batch=2)
    assert same.images == 3
    assert same.reference == same.matched > 0
    monkeypatch.setattr(FakeRunner, "scale", 0.01)
    with pytest.raises(
        PlanError, match=r"differs from ONNX Runtime: of \d+ detections in 3 images"
    ):
        plan_verify.verify_plan(Path("model.plan"), served, PICTURES, THRESHOLDS)


def test_verify_plan_needs_something_to_compare(served: Path, fake_polygraphy: Any) -> None:
    assert fake_polygraphy
    nothing = plan_verify.compare([], [], 0.25)
    with pytest.raises(PlanError, match="ONNX Runtime finds nothing in 0 images"):
        plan_verify.judge(served, nothing, 0.01)
    with pytest.raises(ImagesError, match=r"none\.jpg: "):
        plan_verify.run_images(lambda _: [], [Path("none.jpg")], 64, THRESHOLDS, batch=1)
