"""The export without torch: Ultralytics and the simplifiers are played by stand-ins.

parity/test_export_with_torch.py does the real thing where they are installed.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from fake_ultralytics import FakeUltralytics
from simplifiers import bake_batch, break_graph, change_scores, crash, lose_batch, lose_input_batch
from tridet_build.errors import BuildError, ExportError
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.export import export_onnx
from tridet_build.onnx.serving_graph import serving_graph

Simplifier = Callable[[onnx.ModelProto], Any]


def package(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(members)
    return module


def unchanged(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


@pytest.fixture
def ultralytics(monkeypatch: pytest.MonkeyPatch) -> FakeUltralytics:
    fake = FakeUltralytics()
    monkeypatch.setitem(sys.modules, "ultralytics", fake)
    use_simplifiers(monkeypatch, unchanged, unchanged)
    return fake


def use_simplifiers(
    monkeypatch: pytest.MonkeyPatch, onnxsim: Simplifier | None, onnxslim: Simplifier | None
) -> None:
    """None: not installed."""
    sim = onnxsim and package("onnxsim", simplify=lambda model: (onnxsim(model), True))
    slim = onnxslim and package("onnxslim", slim=onnxslim)
    monkeypatch.setitem(sys.modules, "onnxsim", sim)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "onnxslim", slim)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights" / "best.pt"
    path.parent.mkdir()
    path.write_bytes(b"a checkpoint")
    return path


def refused(tmp_path: Path, weights: str | Path, **options: Any) -> str:
    """Export, which must fail in one line and leave nothing behind; return that line."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ExportError) as caught:
        export_onnx(weights, tmp_path / "new" / "model.onnx", **{"input_size": 64, **options})
    assert sorted(tmp_path.rglob("*")) == before
    assert isinstance(caught.value, BuildError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_export(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.stub["metadata"] = {"date": "2026-11-21", "stride": "32"}
    out = tmp_path / "new" / "model.onnx"
    report = export_onnx(weights, out, input_size=96)
    assert (report.layout, report.rows, report.labels) == ("ultralytics", 84, ("c0", "c1", "c2"))
    assert (report.opset, report.simplifier, report.notes) == (19, "onnxsim", ())
    assert report.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert report.weights_sha256 == hashlib.sha256(b"a checkpoint").hexdigest()
    assert report.tools["onnx"] == onnx.__version__
    model = onnx.load(out)
    assert report.nodes_after == len(model.graph.node)
    for tensor, shape in zip(
        (model.graph.input[0], model.graph.output[0]), ([3, 96, 96], [7, 84]), strict=True
    ):
        batch, *others = tensor.type.tensor_type.shape.dim
        assert batch.dim_param == "batch"
        assert [axis.dim_value for axis in others] == shape
    assert {entry.key for entry in model.metadata_props} == {"names", "stride"}
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]
    assert list(weights.parent.iterdir()) == [weights]
    serving_graph(out, input_size=96, classes=3, candidates=9)


def test_several_sizes_stay_dynamic(
    tmp_path: Path, weights: Path, ultralytics: FakeUltralytics
) -> None:
    ultralytics.samples = True
    out, sizes = tmp_path / "model.onnx", Sizes(64, 96, 160)
    report = export_onnx(weights, out, input_size=sizes)
    assert (report.rows, report.simplifier, report.notes) == (64, "onnxsim", ())
    # Nothing may be fixed, the anchors neither; an end-to-end head must fit the smallest size.
    assert (ultralytics.asked["imgsz"], ultralytics.callbacks) == (64, [])
    for axes in (t.type.tensor_type.shape.dim for t in onnx.load(out).graph.input):
        assert [axis.dim_value for axis in axes] == [0, 3, 0, 0]
    serving_graph(out, input_size=sizes, classes=3, candidates=64)
    export_onnx(weights, out, input_size=96)
    assert (ultralytics.asked["imgsz"], ultralytics.callbacks) == (96, ["on_export_start"])
    with pytest.raises(BuildError, match="dynamic for the sizes 64/96/160, got images"):
        serving_graph(out, input_size=sizes, classes=3, candidates=64)


def bake_anchors(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a constant of what holds at the smallest size only."""
    rows = next(tensor for tensor in model.graph.initializer if tensor.name == "rows")
    rows.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 7, 64], np.int64), "rows"))
    return model


def fix_height(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    return model


@pytest.mark.parametrize(
    ("onnxsim", "why"), [(bake_anchors, ""), (fix_height, "dynamic for the sizes 64/96/160, got")]
)
def test_a_simplifier_that_fixes_the_size_is_not_taken(
    tmp_path: Path,
    weights: Path,
    ultralytics: FakeUltralytics,
    monkeypatch: pytest.MonkeyPatch,
    onnxsim: Simplifier,
    why: str,
) -> None:
    ultralytics.samples = True
    use_simplifiers(monkeypatch, onnxsim, unchanged)
    report = export_onnx(weights, tmp_path / "model.onnx", input_size=Sizes(64, 96, 160))
    assert report.simplifier == "onnxslim"
    (note,) = report.notes
    assert note.startswith("not simplified by onnxsim: ")
    assert why in note


def test_same_weights_give_the_same_file(
    tmp_path: Path, weights: Path, ultralytics: FakeUltralytics
) -> None:
    digests = set()
    for day in ("21", "22"):
        ultralytics.stub["metadata"] = {"date": f"2026-11-{day}"}
        digests.add(export_onnx(weights, tmp_path / day, input_size=64).sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("nms_free", [True, False])
def test_which_head_is_asked_for(
    tmp_path: Path, weights: Path, ultralytics: FakeUltralytics, nms_free: bool
) -> None:
    export_onnx(weights, tmp_path / "model.onnx", input_size=64, opset=17, nms_free=nms_free)
    asked = ultralytics.asked
    assert (asked["dynamic"], asked["simplify"], asked["opset"]) == (True, False, 17)
    assert asked.get("nms") is (False if nms_free else None)


def test_end_to_end_head(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.stub |= {"layout": "end_to_end", "anchors": 20}
    report = export_onnx(weights, tmp_path / "model.onnx", input_size=64)
    assert (report.layout, report.rows) == ("end_to_end", 20)
    message = refused(tmp_path, weights, nms_free=False)
    assert "expected the head that needs NMS, got the end-to-end one" in message


def test_names_of_published_detectors(tmp_path: Path, ultralytics: FakeUltralytics) -> None:
    """They go to Ultralytics as they are; a file of that name goes by its path."""
    ultralytics.load_error = ConnectionError("no network")
    for name in (
        "yolov5nu",
        "yolov5x6u",
        "yolov8s.pt",
        "yolov9t",
        "yolov10b",
        "yolo11n",
        "yolo26x",
    ):
        assert "no network" in refused(tmp_path, name)
        assert ultralytics.loaded.pop() == name.removesuffix(".pt") + ".pt"


def test_a_file_is_loaded_by_its_absolute_path(
    tmp_path: Path, ultralytics: FakeUltralytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("yolo11n.pt").write_bytes(b"mine")
    export_onnx("yolo11n.pt", Path("out.onnx"), input_size=64)
    assert ultralytics.loaded == [str(tmp_path / "yolo11n.pt")]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("yolo11n-seg", "expected a detector, got the task seg"),
        ("yolo26n-pose.pt", "expected a detector, got the task pose"),
        ("yolov5n", "no such file, nor the name of a published detector (yolov5nu, yolov8n"),
        ("yolo11n.onnx", "no such file"),
        ("models/yolo11n.pt", "no such file"),
        ("https://example.com/yolo11n.pt", "no such file"),
        ("", "no such file"),
    ],
)
def test_other_names(tmp_path: Path, name: str, complaint: str) -> None:
    assert refused(tmp_path, name).startswith(f"{name}: {complaint}")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "best.engine").write_bytes(b"")
    message = refused(tmp_path, tmp_path / "best.engine")
    assert "best.engine: expected an Ultralytics .pt file, got the engine best.engine" in message
    assert "engines are not served" in message and "the .pt or .onnx" in message


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"input_size": 100}, "input_size: expected a multiple of 32, got 100"),
        ({"input_size": 0}, "input_size: expected a multiple of 32, got 0"),
        ({"opset": 12}, "opset: expected 13 or newer, got 12"),
    ],
)
def test_bad_arguments(
    tmp_path: Path, weights: Path, options: dict[str, int], complaint: str
) -> None:
    assert refused(tmp_path, weights, **options) == complaint


def test_damaged_weights(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.load_error = TypeError("ERROR ❌️ best.pt is not readable\nsee https://example.com")
    message = refused(tmp_path, weights)
    assert message == f"{weights}: not readable as Ultralytics weights: best.pt is not readable"


def test_another_task(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.task = "segment"
    message = refused(tmp_path, weights)
    assert message == f"{weights}: expected a model of the task detect, got segment"


def test_failing_export(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.export_error = RuntimeError("opset 99\nis not supported")
    message = refused(tmp_path, weights, opset=99)
    assert message == f"{weights}: Ultralytics cannot export it: opset 99"


def test_interrupted_export(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"the old one")
    ultralytics.export_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        export_onnx(weights, out, input_size=64)
    assert out.read_bytes() == b"the old one"


def test_foreign_output(tmp_path: Path, weights: Path, ultralytics: FakeUltralytics) -> None:
    ultralytics.stub |= {"classes": 5, "metadata": {"names": ""}, "anchors": 21}
    message = refused(tmp_path, weights)
    assert "expected an output [N, 7, anchors] (ultralytics)" in message
    assert "got an output [batch, 9, 21]" in message


@pytest.mark.usefixtures("ultralytics")
def test_unwritable_folder(weights: Path) -> None:
    with pytest.raises(ExportError, match=r"best.pt/model.onnx: cannot be written: "):
        export_onnx(weights, weights / "model.onnx", input_size=64)


@pytest.mark.usefixtures("ultralytics")
@pytest.mark.parametrize("missing", ["ultralytics", "onnxruntime"])
def test_missing_packages(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # type: ignore[arg-type]
    if missing == "ultralytics":
        message = refused(tmp_path, weights)
        assert message.startswith(f"{weights}: ultralytics cannot be imported (")
        assert message.endswith(
            "); run: pip install 'tridet-build[full]', or `make setup-build` in the repository"
        )
    else:
        report = export_onnx(weights, tmp_path / "model.onnx", input_size=64)
        assert report.simplifier == "none"
        assert "onnxruntime cannot be imported" in report.notes[0]


@pytest.mark.usefixtures("ultralytics")
@pytest.mark.parametrize(
    ("onnxsim", "why"),
    [
        (None, "onnxsim cannot be imported"),
        (crash, "no kernel"),
        (lose_batch, "expected a dynamic batch axis, got images float [batch, 3, 64, 64] -> "),
        (lose_input_batch, "expected a dynamic batch axis, got images float [1, 3, 64, 64] -> "),
        (bake_batch, "computes something else"),
        (change_scores, "the simplified graph computes something else"),
        (break_graph, "the graph is invalid: "),
    ],
)
def test_falls_back_to_onnxslim_with_a_note(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    onnxsim: Simplifier | None,
    why: str,
) -> None:
    use_simplifiers(monkeypatch, onnxsim, unchanged)
    out = tmp_path / "model.onnx"
    report = export_onnx(weights, out, input_size=64)
    assert report.simplifier == "onnxslim"
    (note,) = report.notes
    assert note.startswith("not simplified by onnxsim: ")
    assert why in note
    assert "\n" not in note
    serving_graph(out, input_size=64, classes=3, candidates=9)


@pytest.mark.usefixtures("ultralytics")
def test_unsimplified_if_both_fail(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_simplifiers(monkeypatch, crash, lose_batch)
    report = export_onnx(weights, tmp_path / "model.onnx", input_size=64)
    assert report.simplifier == "none"
    assert report.nodes_before == report.nodes_after
    assert [note.split(": ")[0] for note in report.notes] == [
        "not simplified by onnxsim",
        "not simplified by onnxslim",
    ]


@pytest.mark.usefixtures("ultralytics")
def test_metadata_that_a_simplifier_drops_is_put_back(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forget(model: onnx.ModelProto) -> onnx.ModelProto:
        del model.metadata_props[:]
        model.ir_version = 10
        return model

    use_simplifiers(monkeypatch, forget, None)
    out = tmp_path / "model.onnx"
    assert export_onnx(weights, out, input_size=64).simplifier == "onnxsim"
    model = onnx.load(out)
    assert [entry.key for entry in model.metadata_props] == ["names"]
    assert model.ir_version == 8


def test_import_is_light() -> None:
    code = (
        "import sys, tridet_build.onnx.export\n"
        "heavy = {'torch', 'ultralytics', 'onnxsim', 'onnxslim', 'onnxruntime'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
