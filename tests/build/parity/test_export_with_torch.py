"""The real export: skipped where ultralytics and torch are not installed, as in CI's environment.

    python -m pytest tests/build/parity     # in an environment with tridet-build[full]

tests/build/onnx/test_export.py covers the same code with stand-ins, everywhere.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tridet_build.errors import ExportError
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.export import export_onnx
from tridet_build.onnx.serving_graph import serving_graph

ultralytics = pytest.importorskip("ultralytics")
pytestmark = pytest.mark.full
SIZE = 96


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    ultralytics.YOLO("yolo11n.yaml").save(tmp_path / "best.pt")
    return tmp_path / "best.pt"


@pytest.mark.parametrize(
    ("architecture", "nms_free", "layout", "rows"),
    [
        ("yolov5n", True, "ultralytics", 189),
        ("yolov8n", True, "ultralytics", 189),
        ("yolov9t", True, "ultralytics", 189),
        ("yolov10n", True, "end_to_end", 189),
        ("yolov10n", False, "ultralytics", 189),
        ("yolo11n", True, "ultralytics", 189),
        ("yolo12n", True, "ultralytics", 189),
        ("yolo26n", True, "end_to_end", 189),
        ("yolo26n", False, "ultralytics", 189),
    ],
)
def test_every_family(
    tmp_path: Path, architecture: str, nms_free: bool, layout: str, rows: int
) -> None:
    weights, out = tmp_path / "best.pt", tmp_path / "out" / "best.onnx"
    ultralytics.YOLO(f"{architecture}.yaml").save(weights)
    report = export_onnx(weights, out, input_size=SIZE, nms_free=nms_free)
    assert (report.layout, report.rows, len(report.labels)) == (layout, rows, 80)
    assert report.simplifier in ("onnxsim", "onnxslim")
    assert report.nodes_after < report.nodes_before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "out"]
    model = onnx.load(out)
    assert model.opset_import[0].version == 19
    assert {"names", "stride", "task", "end2end"} <= {p.key for p in model.metadata_props}
    graph = serving_graph(out, input_size=SIZE, classes=80, candidates=50)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    frames = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    together = session.run(["boxes", "scores", "class_ids"], {"images": frames})
    assert [output.shape for output in together] == [(3, 50, 4), (3, 50), (3, 50)]
    alone = session.run(["scores"], {"images": frames[2:]})[0]
    np.testing.assert_allclose(together[1][2:], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "nms_free"),
    [
        ("yolov5n", True),
        ("yolo11n", True),
        ("yolo12n", True),
        ("yolov10n", True),
        ("yolo26n", True),
        ("yolo26n", False),
    ],
)
def test_one_dynamic_export_equals_the_fixed_ones(
    tmp_path: Path, architecture: str, nms_free: bool
) -> None:
    weights, sizes = tmp_path / "best.pt", Sizes(96, 128, 192)
    ultralytics.YOLO(f"{architecture}.yaml").save(weights)
    report = export_onnx(weights, tmp_path / "any.onnx", input_size=sizes, nms_free=nms_free)
    assert report.rows == 189
    assert report.simplifier in ("onnxsim", "onnxslim")
    model = onnx.load(tmp_path / "any.onnx")
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in axes] == [0, 3, 0, 0]
    options = {"classes": 80, "candidates": 50}
    graph = serving_graph(tmp_path / "any.onnx", input_size=sizes, **options)  # type: ignore[arg-type]
    dynamic = onnxruntime.InferenceSession(graph.SerializeToString())
    for size in (96, 128, 160, 192):
        out = tmp_path / f"{size}.onnx"
        export_onnx(weights, out, input_size=size, nms_free=nms_free)
        graph = serving_graph(out, input_size=size, **options)  # type: ignore[arg-type]
        fixed = onnxruntime.InferenceSession(graph.SerializeToString())
        for batch in (1, 4):
            frames = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)
            (got,), (want,) = (
                session.run(["scores"], {"images": frames}) for session in (dynamic, fixed)
            )
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_same_weights_give_the_same_file(tmp_path: Path, checkpoint: Path) -> None:
    first, second = (
        export_onnx(checkpoint, tmp_path / name, input_size=SIZE) for name in ("a.onnx", "b.onnx")
    )
    assert first == second
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_older_opsets(tmp_path: Path, checkpoint: Path, opset: int) -> None:
    out = tmp_path / "best.onnx"
    assert export_onnx(checkpoint, out, input_size=SIZE, opset=opset).opset == opset
    assert onnx.load(out).opset_import[0].version == opset
    serving_graph(out, input_size=SIZE, classes=80, candidates=50)


def test_without_onnxsim(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxslim")
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    report = export_onnx(checkpoint, tmp_path / "best.onnx", input_size=SIZE)
    assert report.simplifier == "onnxslim"
    assert "onnxsim cannot be imported" in report.notes[0]


@pytest.mark.parametrize("task", ["seg", "pose", "obb", "cls"])
def test_other_tasks_are_refused_by_name(tmp_path: Path, task: str) -> None:
    weights = tmp_path / "best.pt"
    model = ultralytics.YOLO(f"yolo11n-{task}.yaml")
    model.save(weights)
    with pytest.raises(ExportError, match=f"expected a model of the task detect, got {model.task}"):
        export_onnx(weights, tmp_path / "best.onnx", input_size=SIZE)
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn", None])
def test_damaged_weights(tmp_path: Path, checkpoint: Path, content: bytes | None) -> None:
    """None: a checkpoint cut in half."""
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ExportError) as caught:
        export_onnx(checkpoint, tmp_path / "best.onnx", input_size=SIZE)
    assert str(caught.value).startswith(f"{checkpoint}: not readable as Ultralytics weights: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_nothing_is_printed(
    tmp_path: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export_onnx(checkpoint, tmp_path / "best.onnx", input_size=SIZE)
    assert capfd.readouterr() == ("", "")
