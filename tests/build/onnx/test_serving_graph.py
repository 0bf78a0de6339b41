from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_onnx import write_sampling_stub, write_stub
from tridet_build.errors import GraphError, OnnxError
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.layouts import LAYOUTS
from tridet_build.onnx.serving_graph import serving_graph


def run(model: onnx.ModelProto, frames: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["boxes", "scores", "class_ids"], {"images": frames})


def reference(
    weights: Path, frames: np.ndarray, k: int, dtype: type = np.float32, layout: str = "ultralytics"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same in NumPy around the plain graph, one image at a time."""
    planes = frames[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    boxes, scores, class_ids = [], [], []
    for raw in session.run(None, {"images": planes.astype(dtype)})[0].astype(np.float32):
        match layout:
            case "ultralytics":
                corners, confidences = xyxy_from_cxcywh(raw[:4].T), raw[4:].T
            case "yolov5":
                corners, confidences = xyxy_from_cxcywh(raw[:, :4]), raw[:, 4:5] * raw[:, 5:]
            case _:
                padded = np.zeros((max(k, len(raw)), 6), np.float32)
                padded[: len(raw)] = raw
                corners, classes = padded[:, :4], padded[:, 5].astype(int)
                confidences = np.zeros((len(padded), 1000), np.float32)
                confidences[np.arange(len(padded)), classes] = padded[:, 4]
        best = confidences.max(axis=1)
        order = np.lexsort((np.arange(len(best)), -best))[:k]
        boxes.append(corners[order])
        scores.append(best[order])
        class_ids.append(confidences.argmax(axis=1)[order])
    return np.stack(boxes), np.stack(scores), np.stack(class_ids)


def xyxy_from_cxcywh(boxes: np.ndarray) -> np.ndarray:
    centre, size = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18, 19, 21])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("k", [1, 30, 84])
def test_equals_numpy_reference(tmp_path: Path, opset: int, batch: int, k: int) -> None:
    compare_with_reference(tmp_path, "ultralytics", rows=84, k=k, batch=batch, opset=opset)


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("k", [1, 252])
def test_objectness_equals_numpy_reference(tmp_path: Path, opset: int, k: int) -> None:
    compare_with_reference(tmp_path, "yolov5", rows=252, k=k, opset=opset)


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("k", [1, 29, 30])
def test_end_to_end_equals_numpy_reference(tmp_path: Path, opset: int, k: int) -> None:
    compare_with_reference(tmp_path, "end_to_end", rows=30, k=k, opset=opset)


@settings(max_examples=30)
@given(
    layout=st.sampled_from(LAYOUTS),
    classes=st.integers(3, 90),
    rows=st.integers(7, 300),
    share=st.floats(0.01, 1.5),
    seed=st.integers(0, 9),
)
def test_any_layout_equals_numpy_reference(
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    classes: int,
    rows: int,
    share: float,
    seed: int,
) -> None:
    k = max(1, int(rows * (share if layout == "end_to_end" else min(share, 1))))
    options = {"classes": classes, "seed": seed, "asked": layout}
    compare_with_reference(
        tmp_path_factory.getbasetemp(),
        layout,
        rows=rows,
        k=k,
        **options,  # type: ignore[arg-type]
    )


def compare_with_reference(
    folder: Path,
    layout: str,
    *,
    rows: int,
    k: int,
    classes: int = 3,
    batch: int = 2,
    opset: int = 19,
    seed: int = 0,
    asked: str | None = None,
) -> None:
    weights = folder / "stub.onnx"
    write_stub(
        weights,
        classes=classes,
        anchors=rows,
        opset=opset,
        seed=seed,
        layout=layout,
    )
    frames = np.random.default_rng(7).integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
    graph = serving_graph(weights, input_size=64, classes=classes, candidates=k, layout=asked)
    boxes, scores, class_ids = run(graph, frames)
    assert (boxes.shape, scores.shape, class_ids.shape) == ((batch, k, 4), (batch, k), (batch, k))
    assert (boxes.dtype, scores.dtype, class_ids.dtype) == (np.float32, np.float32, np.int32)
    want_boxes, want_scores, want_ids = reference(weights, frames, k, layout=layout)
    np.testing.assert_allclose(scores, want_scores, atol=1e-6)
    np.testing.assert_allclose(boxes, want_boxes, atol=1e-4)
    np.testing.assert_array_equal(class_ids, want_ids)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_end_to_end_head_with_fewer_rows_is_padded_with_zeros(tmp_path: Path) -> None:
    table = write_stub(tmp_path / "stub.onnx", layout="end_to_end", anchors=20)
    graph = serving_graph(tmp_path / "stub.onnx", input_size=64, classes=3, candidates=50)
    frames = np.full((2, 64, 64, 3), 255, np.uint8)
    boxes, scores, class_ids = run(graph, frames)
    assert scores.shape == (2, 50)
    for image in range(2):
        np.testing.assert_allclose(scores[image, :20], table[:, 4], rtol=1e-6)
        np.testing.assert_allclose(boxes[image, :20], table[:, :4], rtol=1e-6)
        np.testing.assert_array_equal(class_ids[image, :20], table[:, 5])
    assert not boxes[:, 20:].any()
    assert not scores[:, 20:].any()
    assert not class_ids[:, 20:].any()


def test_layout_can_be_overruled(tmp_path: Path) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights, layout="yolov5", anchors=84)
    options = {"input_size": 64, "classes": 3, "candidates": 9}
    with pytest.raises(GraphError, match="one anchor per cell"):
        serving_graph(weights, **options)  # type: ignore[arg-type]
    serving_graph(weights, layout="yolov5", **options)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"expected an output \[N, 7, anchors\], got an output"):
        serving_graph(weights, layout="ultralytics", **options)  # type: ignore[arg-type]


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
    with pytest.raises(GraphError, match=r"labels: expected 3, .* \(c0, c1, c2\), got 4"):
        serving_graph(weights, input_size=64, classes=4, candidates=30)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_one_graph_for_several_sizes_equals_the_reference(tmp_path: Path, opset: int) -> None:
    weights = tmp_path / "stub.onnx"
    write_sampling_stub(weights, opset=opset)
    k = 64
    graph = serving_graph(weights, input_size=Sizes(64, 96, 160), classes=3, candidates=k)
    axes = graph.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in axes] == [0, 0, 0, 3]
    assert [
        [axis.dim_value for axis in o.type.tensor_type.shape.dim] for o in graph.graph.output
    ] == [
        [0, k, 4],
        [0, k],
        [0, k],
    ]
    for size in (64, 96, 160):
        fixed = serving_graph(weights, input_size=size, classes=3, candidates=k)
        for batch in (1, 4):
            frames = np.random.default_rng(size).integers(
                0, 256, (batch, size, size, 3), dtype=np.uint8
            )
            got = run(graph, frames)
            want = reference(weights, frames, k)
            for mine, theirs, atol in zip(got, want, (1e-4, 1e-6, 0), strict=True):
                np.testing.assert_allclose(mine, theirs, atol=atol)
            for mine, theirs in zip(got, run(fixed, frames), strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("layout", "rows"), [("yolov5", 252), ("end_to_end", 30)])
def test_several_sizes_of_other_layouts(tmp_path: Path, layout: str, rows: int) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights, layout=layout, anchors=rows, dynamic_size=True)
    graph = serving_graph(weights, input_size=Sizes(64, 64, 96), classes=3, candidates=30)
    for size in (64, 96):
        frames = np.random.default_rng(3).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        want = reference(weights, frames, 30, layout=layout)
        for mine, theirs, atol in zip(run(graph, frames), want, (1e-4, 1e-6, 0), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=atol)


def test_several_sizes_need_dynamic_axes_and_enough_anchors(tmp_path: Path) -> None:
    weights, sizes = tmp_path / "stub.onnx", Sizes(64, 96, 160)
    write_sampling_stub(weights, size=96)
    with pytest.raises(GraphError) as caught:
        serving_graph(weights, input_size=sizes, classes=3, candidates=40)
    assert str(caught.value) == (
        f"{weights}: expected an input [N, 3, height, width], dynamic for the sizes 64/96/160, got "
        "images float [batch, 3, 96, 96] -> output0 float [batch, 7, 144]; export again with "
        "dynamic=True"
    )
    write_sampling_stub(weights)
    complaint = r"candidates: expected at most 64 \(anchors at 64 pixels\), got 65"
    with pytest.raises(GraphError, match=complaint):
        serving_graph(weights, input_size=sizes, classes=3, candidates=65)


@pytest.mark.parametrize(
    ("layout", "rows"), [("ultralytics", 84), ("yolov5", 252), ("end_to_end", 30)]
)
def test_float16_detector_keeps_float32_ends(tmp_path: Path, layout: str, rows: int) -> None:
    weights = tmp_path / "half.onnx"
    write_stub(weights, half=True, layout=layout, anchors=rows)
    frames = np.full((2, 64, 64, 3), 200, np.uint8)
    boxes, scores, _ = run(serving_graph(weights, input_size=64, classes=3, candidates=9), frames)
    assert boxes.dtype == scores.dtype == np.float32
    _, want, _ = reference(weights, frames, 9, np.float16, layout)
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
        (
            {},
            {"input_size": 96},
            "expected an input [N, 3, 96, 96], got images float [batch, 3, 64",
        ),
        ({}, {"classes": 4}, "expected 3, one for each of the names in the ONNX file (c0, c1, c2)"),
        ({"metadata": {"names": ""}}, {"classes": 4}, "expected an output [N, 8, anchors] (ultra"),
        ({"metadata": {"task": "obb"}}, {}, "expected a model of the task detect, got obb"),
        ({"output_batch": 1}, {}, "expected a dynamic batch axis, got images float [batch, 3, 64"),
        ({"outputs": 2}, {}, "expected one input and one output, got images float [batch, 3, 64"),
        ({}, {"candidates": 85}, "candidates: expected at most 84 (anchors), got 85"),
        (
            {"layout": "yolov5", "anchors": 252},
            {"candidates": 253},
            "candidates: expected at most 252 (anchors), got 253",
        ),
        ({}, {"layout": "yolo"}, "expected one of ultralytics, yolov5, end_to_end, got 'yolo'"),
    ],
)
def test_foreign_layout_is_refused_with_what_was_found(
    tmp_path: Path, stub: dict[str, object], asked: dict[str, object], complaint: str
) -> None:
    weights = tmp_path / "stub.onnx"
    write_stub(weights, **stub)  # type: ignore[arg-type]
    with pytest.raises(GraphError) as caught:
        serving_graph(
            weights,
            **{"input_size": 64, "classes": 3, "candidates": 5, **asked},  # type: ignore[arg-type]
        )
    message = str(caught.value)
    assert message.startswith(f"{weights}: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x09"])
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(OnnxError, match="not a readable ONNX model"):
        serving_graph(tmp_path / "bad.onnx", input_size=64, classes=3, candidates=5)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match="no such file"):
        serving_graph(tmp_path / "none.onnx", input_size=64, classes=3, candidates=5)


def test_other_element_types_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "double.onnx"
    write_stub(weights)
    model = onnx.load(weights)
    cast = onnx.helper.make_node("Cast", ["output0"], ["wide"], to=onnx.TensorProto.DOUBLE)
    model.graph.node.append(cast)
    model.graph.output[0].name = "wide"
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, weights)
    with pytest.raises(GraphError, match="expected float or float16 tensors, got images float"):
        serving_graph(weights, input_size=64, classes=3, candidates=5)
