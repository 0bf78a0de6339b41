from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from stub_onnx import write_stub
from tridet_build._exceptions import GraphError
from tridet_build.graph import serving_graph


def run(model: onnx.ModelProto, frames: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["boxes", "scores", "class_ids"], {"images": frames})


def reference(
    weights: Path, frames: np.ndarray, k: int, dtype: type
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same in NumPy around the plain graph, one image at a time."""
    planes = frames[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    boxes, scores, class_ids = [], [], []
    for raw in session.run(None, {"images": planes.astype(dtype)})[0].astype(np.float32):
        best = raw[4:].max(axis=0)
        order = np.lexsort((np.arange(len(best)), -best))[:k]
        x, y, w, h = raw[:4, order]
        boxes.append(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1))
        scores.append(best[order])
        class_ids.append(raw[4:].argmax(axis=0)[order])
    return np.stack(boxes), np.stack(scores), np.stack(class_ids)


@pytest.mark.parametrize("opset", [13, 17, 18, 19, 21])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("k", [1, 30, 84])
def test_equals_numpy_reference(tmp_path: Path, opset: int, batch: int, k: int) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights, opset=opset)
    frames = np.random.default_rng(7).integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
    boxes, scores, class_ids = run(
        serving_graph(weights, input_size=64, classes=3, candidates=k), frames
    )
    assert (boxes.shape, scores.shape, class_ids.shape) == ((batch, k, 4), (batch, k), (batch, k))
    assert (boxes.dtype, scores.dtype, class_ids.dtype) == (np.float32, np.float32, np.int32)
    want_boxes, want_scores, want_ids = reference(weights, frames, k, np.float32)
    np.testing.assert_allclose(scores, want_scores, atol=1e-6)
    np.testing.assert_allclose(boxes, want_boxes, atol=1e-4)
    np.testing.assert_array_equal(class_ids, want_ids)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_dynamic_size_takes_the_manifests(tmp_path: Path) -> None:
    """What `yolo export format=onnx dynamic=True` writes."""
    graphs = []
    for dynamic_size in (False, True):
        weights = tmp_path / f"{dynamic_size}.onnx"
        write_stub(weights, dynamic_size=dynamic_size)
        graphs.append(serving_graph(weights, input_size=64, classes=3, candidates=30))
    frames = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    for fixed, dynamic in zip(*(run(graph, frames) for graph in graphs), strict=True):
        np.testing.assert_array_equal(fixed, dynamic)
    with pytest.raises(GraphError, match=r"expected an output \[N, 8, anchors\]"):
        serving_graph(weights, input_size=64, classes=4, candidates=30)


def test_float16_detector_keeps_float32_ends(tmp_path: Path) -> None:
    weights = tmp_path / "half.onnx"
    write_stub(weights, half=True)
    frames = np.full((2, 64, 64, 3), 200, np.uint8)
    boxes, scores, _ = run(serving_graph(weights, input_size=64, classes=3, candidates=9), frames)
    assert boxes.dtype == scores.dtype == np.float32
    _, want, _ = reference(weights, frames, 9, np.float16)
    np.testing.assert_allclose(scores, want, atol=2e-3)


def test_channels_are_bgr_at_the_door_and_rgb_inside(tmp_path: Path) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights)
    graph = serving_graph(weights, input_size=64, classes=3, candidates=5)
    red, blue = np.zeros((2, 1, 64, 64, 3), np.uint8)
    red[..., 2] = 255
    blue[..., 0] = 255
    # The stub looks at its first plane, which must be red.
    assert run(graph, red)[1].max() > 0.5
    assert run(graph, blue)[1].max() == 0


def test_keeps_the_metadata(tmp_path: Path) -> None:
    write_stub(tmp_path / "stub.onnx")
    graph = serving_graph(tmp_path / "stub.onnx", input_size=64, classes=3, candidates=5)
    assert {p.key: p.value for p in graph.metadata_props} == {
        "names": "{0: 'c0', 1: 'c1', 2: 'c2'}"
    }


@pytest.mark.parametrize(
    ("stub", "asked", "complaint"),
    [
        ({"batch": 1}, {}, "expected a dynamic batch axis, got images float [1, 3, 64, 64]"),
        ({"opset": 12}, {}, "expected opset 13 or newer, got 12"),
        (
            {},
            {"input_size": 96},
            "expected an input [N, 3, 96, 96], got images float [batch, 3, 64",
        ),
        ({}, {"classes": 4}, "expected an output [N, 8, anchors] (4 box values and 4 labels)"),
        ({}, {"candidates": 85}, "candidates: expected at most 84 (anchors), got 85"),
    ],
)
def test_foreign_layout_is_refused_with_what_was_found(
    tmp_path: Path, stub: dict[str, int], asked: dict[str, int], complaint: str
) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights, **stub)  # type: ignore[arg-type]
    with pytest.raises(GraphError) as caught:
        serving_graph(weights, **{"input_size": 64, "classes": 3, "candidates": 5, **asked})
    message = str(caught.value)
    assert message.startswith(f"{weights}: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x09"])
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(GraphError, match="not a readable ONNX model"):
        serving_graph(tmp_path / "bad.onnx", input_size=64, classes=3, candidates=5)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="no such file"):
        serving_graph(tmp_path / "none.onnx", input_size=64, classes=3, candidates=5)
