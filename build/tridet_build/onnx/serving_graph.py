"""The serving graph: a detector's ONNX, and around it what is cheap on a GPU but not in Python.

In goes ``images`` UINT8 [N, S, S, 3] BGR; out come the K best ``boxes``, ``scores`` and
``class_ids`` (see the contract). In front: cast, HWC to CHW, BGR to RGB, division by 255. Behind:
best class per anchor, TopK, and the box decode of those K only, for each of the layouts that
``layouts`` tells apart. All of it computes in FP32, whatever precision the detector inside has.
S is fixed or dynamic, as the detector's sizes are; K is fixed.

The two ends are written in ONNX's own text form and joined by ``onnx.compose``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, compose, parser
from tridet.processing import contract

from tridet_build.errors import GraphError, first_line
from tridet_build.manifest.manifest import Manifest
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.axes import fix_size, fixed_copy, infer_shapes, shape_of
from tridet_build.onnx.batches import check_batches
from tridet_build.onnx.file import inputs_of, metadata_of, opset_of, read_onnx
from tridet_build.onnx.layouts import Layout, Prediction, recognize

_FLOATS: Final[dict[int, str]] = {TensorProto.FLOAT: "float", TensorProto.FLOAT16: "float16"}

# The cast comes first: TensorRT refuses to transpose UINT8.
_FRONT: Final = """
tridet_front (uint8[batch, {size}, {size}, 3] {IMAGES})
    => ({float}[batch, 3, {size}, {size}] planes)
<int64[3] bgr_to_rgb = {{2, 1, 0}}, float white = {{255}}>
{{
    pixels = Cast <to = 1> ({IMAGES})
    bgr = Transpose <perm = [0, 3, 1, 2]> (pixels)
    rgb = Gather <axis = 1> (bgr, bgr_to_rgb)
    unit = Div (rgb, white)
    planes = Cast <to = {float_id}> (unit)
}}
"""

_ULTRALYTICS: Final = """
tridet_back ({float}[batch, {channels}, {rows}] raw)
    => (float[batch, {k}, 4] {BOXES}, float[batch, {k}] {SCORES}, int32[batch, {k}] {CLASS_IDS})
<int64[2] box_and_classes = {{4, {classes}}}, int64[1] class_axis = {{1}}, int64[1] k = {{{k}}},
 int64[3] four_rows = {{1, 4, 1}}, int64[2] centre_and_size = {{2, 2}}, float half = {{0.5}}>
{{
    raw32 = Cast <to = 1> (raw)
    centres, confidences = Split <axis = 1> (raw32, box_and_classes)
    best = {reduce_max}
    best_class = ArgMax <axis = 1, keepdims = 0> (confidences)
    {SCORES}, anchor = TopK <axis = 1> (best, k)
    class_id = GatherElements <axis = 1> (best_class, anchor)
    {CLASS_IDS} = Cast <to = 6> (class_id)
    anchor_row = Unsqueeze (anchor, class_axis)
    anchor_rows = Tile (anchor_row, four_rows)
    kept = GatherElements <axis = 2> (centres, anchor_rows)
    kept_boxes = Transpose <perm = [0, 2, 1]> (kept)
    centre, size = Split <axis = 2> (kept_boxes, centre_and_size)
    reach = Mul (size, half)
    low = Sub (centre, reach)
    high = Add (centre, reach)
    {BOXES} = Concat <axis = 2> (low, high)
}}
"""

# Objectness cannot change which class is best, so it multiplies that class's confidence only.
_YOLOV5: Final = """
tridet_back ({float}[batch, {rows}, {channels}] raw)
    => (float[batch, {k}, 4] {BOXES}, float[batch, {k}] {SCORES}, int32[batch, {k}] {CLASS_IDS})
<int64[3] box_object_classes = {{4, 1, {classes}}}, int64[1] class_axis = {{2}},
 int64[1] k = {{{k}}}, int64[3] four_columns = {{1, 1, 4}}, int64[2] centre_and_size = {{2, 2}},
 float half = {{0.5}}>
{{
    raw32 = Cast <to = 1> (raw)
    centres, objectness, confidences = Split <axis = 2> (raw32, box_object_classes)
    confidence = {reduce_max}
    object = Squeeze (objectness, class_axis)
    best = Mul (object, confidence)
    best_class = ArgMax <axis = 2, keepdims = 0> (confidences)
    {SCORES}, anchor = TopK <axis = 1> (best, k)
    class_id = GatherElements <axis = 1> (best_class, anchor)
    {CLASS_IDS} = Cast <to = 6> (class_id)
    anchor_column = Unsqueeze (anchor, class_axis)
    anchor_columns = Tile (anchor_column, four_columns)
    kept_boxes = GatherElements <axis = 1> (centres, anchor_columns)
    centre, size = Split <axis = 2> (kept_boxes, centre_and_size)
    reach = Mul (size, half)
    low = Sub (centre, reach)
    high = Add (centre, reach)
    {BOXES} = Concat <axis = 2> (low, high)
}}
"""

# Rows of zeros make up for a head that has fewer than K; TopK puts them last.
_END_TO_END: Final = """
tridet_back ({float}[batch, {rows}, 6] raw)
    => (float[batch, {k}, 4] {BOXES}, float[batch, {k}] {SCORES}, int32[batch, {k}] {CLASS_IDS})
<int64[3] box_score_class = {{4, 1, 1}}, int64[1] last_axis = {{2}}, int64[1] k = {{{k}}},
 int64[3] four_columns = {{1, 1, 4}}, int64[6] missing_rows = {{0, 0, 0, 0, {missing}, 0}}>
{{
    raw32 = Cast <to = 1> (raw)
    all_rows = Pad (raw32, missing_rows)
    corners, score_column, class_column = Split <axis = 2> (all_rows, box_score_class)
    score = Squeeze (score_column, last_axis)
    class = Squeeze (class_column, last_axis)
    {SCORES}, row = TopK <axis = 1> (score, k)
    class_id = GatherElements <axis = 1> (class, row)
    {CLASS_IDS} = Cast <to = 6> (class_id)
    row_column = Unsqueeze (row, last_axis)
    row_columns = Tile (row_column, four_columns)
    {BOXES} = GatherElements <axis = 1> (corners, row_columns)
}}
"""

_BACKS: Final[dict[Layout, str]] = {
    "ultralytics": _ULTRALYTICS,
    "yolov5": _YOLOV5,
    "end_to_end": _END_TO_END,
}


@dataclass(frozen=True)
class DetectorIO:
    """A detector's input and output, which the serving graph is joined to.

    Attributes:
        images: name of its input.
        images_type: element type of that, as ``onnx.TensorProto`` numbers them.
        raw: name of its output.
        raw_type: element type of that.
        prediction: what the output means.
    """

    images: str
    images_type: int
    raw: str
    raw_type: int
    prediction: Prediction


def serving_graph(
    weights: Path,
    *,
    input_size: int | Sizes,
    classes: int,
    candidates: int,
    layout: str | None = None,
) -> onnx.ModelProto:
    """Wrap a detector's ONNX.

    Args:
        weights: ONNX with one input [N, 3, S, S], RGB of 0 to 1, and one output in one of the
            ``layouts``. N is dynamic; S may be.
        input_size: S, in pixels; or the sizes among which it stays dynamic.
        classes: C, the number of labels.
        candidates: K, for every S. At most the number of anchors at the smallest; an end-to-end
            head that has fewer rows is padded with boxes and scores of zero.
        layout: of the output, where shape and metadata do not tell; see ``layouts.LAYOUTS``.

    Returns:
        A checked model with a dynamic batch axis and the original metadata.

    Raises:
        OnnxError: not an ONNX file.
        GraphError: its inputs and outputs are not of a known layout; says how.
    """
    sizes = Sizes.of(input_size)
    detector = read_onnx(weights)
    try:
        if sizes.fixed:
            fix_size(detector, sizes.opt)
        else:
            infer_shapes(detector)
        io = detector_io(detector, input_size=sizes, classes=classes, layout=layout)
        rows = io.prediction.rows
        if candidates > rows and io.prediction.layout != "end_to_end":
            raise GraphError(
                f"candidates: expected at most {rows} "
                f"(anchors{'' if sizes.fixed else f' at {sizes.min} pixels'}), got {candidates}"
            )
        model = _wrap(detector, io, sizes, classes, candidates)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"{weights}: the serving graph is invalid: {first_line(error)}") from None
    except GraphError as error:
        raise GraphError(f"{weights}: {error}") from None
    return model


def graph_of(manifest: Manifest) -> bytes:
    """Wrap a detector's weights as its manifest says, and try it on more than one image.

    Args:
        manifest: with ONNX weights and labels.

    Returns:
        The serving graph, serialized; the same bytes for the same weights and manifest.

    Raises:
        OnnxError, GraphError: as :func:`serving_graph`; or its batch axis is dynamic in name only.
    """
    graph = serving_graph(
        manifest.weights,
        input_size=manifest.input_size,
        classes=len(manifest.labels),
        candidates=manifest.candidates,
        layout=manifest.layout,
    )
    content: bytes = graph.SerializeToString(deterministic=True)
    try:
        check_batches(graph, content, manifest.input_size.min)
    except GraphError as error:
        raise GraphError(f"{manifest.weights}: {error}") from None
    return content


def detector_io(
    model: onnx.ModelProto, *, input_size: int | Sizes, classes: int, layout: str | None = None
) -> DetectorIO:
    """Check a detector's input and output; the arguments are those of :func:`serving_graph`.

    The prediction of a dynamic detector is that at its smallest size.

    Raises:
        GraphError: they are not what can be served; says how they differ.
    """
    sizes = Sizes.of(input_size)
    found = check_one_output(model)
    inputs, outputs = inputs_of(model), list(model.graph.output)
    batch, *frame = shape_of(inputs[0]) or [None]
    raw = shape_of(outputs[0])
    if sizes.fixed:
        if frame != [3, sizes.opt, sizes.opt]:
            raise GraphError(f"expected an input [N, 3, {sizes.opt}, {sizes.opt}], {found}")
    else:
        if frame[:1] != [3] or any(isinstance(side, int) for side in frame[1:]):
            raise GraphError(
                f"expected an input [N, 3, height, width], dynamic for the sizes {sizes}, {found}; "
                "export again with dynamic=True"
            )
        raw[1:] = shape_of(fixed_copy(model, sizes.min).graph.output[0])[1:]
    if isinstance(batch, int) or (raw and isinstance(raw[0], int)):
        raise GraphError(f"expected a dynamic batch axis, {found}; export again with dynamic=True")
    types = [tensor.type.tensor_type.elem_type for tensor in (inputs[0], outputs[0])]
    if not set(types) <= _FLOATS.keys():
        raise GraphError(f"expected float or float16 tensors, {found}")
    prediction = recognize(
        raw,
        classes=classes,
        input_size=sizes.min,
        metadata=metadata_of(model),
        layout=layout,
    )
    return DetectorIO(inputs[0].name, types[0], outputs[0].name, types[1], prediction)


def check_one_output(model: onnx.ModelProto) -> str:
    """Return the input and the output in words.

    Raises:
        GraphError: there are more, as where the heads of a detector are not decoded.
    """
    inputs, outputs = inputs_of(model), list(model.graph.output)
    found = f"got {' '.join(map(_signature, inputs))} -> {' '.join(map(_signature, outputs))}"
    if len(inputs) != 1 or len(outputs) != 1:
        heads = "; export again with the boxes decoded and joined" if len(outputs) > 1 else ""
        raise GraphError(f"expected one input and one output, {found}{heads}")
    return found


def _wrap(
    detector: onnx.ModelProto, io: DetectorIO, sizes: Sizes, classes: int, k: int
) -> onnx.ModelProto:
    names = vars(contract)
    front = _FRONT.format(
        **names,
        # One name for both, for the picture is square.
        size=sizes.opt if sizes.fixed else "side",
        float=_FLOATS[io.images_type],
        float_id=io.images_type,
    )
    layout, rows = io.prediction.layout, io.prediction.rows
    axis = 1 if layout == "ultralytics" else 2
    back = _BACKS[layout].format(
        **names,
        float=_FLOATS[io.raw_type],
        channels=classes + (4 if layout == "ultralytics" else 5),
        rows=rows if sizes.fixed else "anchors",
        classes=classes,
        k=k,
        # It takes its axes as an input since opset 18, as an attribute before.
        reduce_max=(
            "ReduceMax <keepdims = 0> (confidences, class_axis)"
            if opset_of(detector) >= 18
            else f"ReduceMax <axes = [{axis}], keepdims = 0> (confidences)"
        ),
        missing=max(0, k - rows),
    )
    # The detector's own names may be ours too (Ultralytics calls its input "images").
    inner = compose.add_prefix(detector, "detector/")
    head = [(f"detector/{io.raw}", "raw")]
    joined = compose.merge_models(
        _parse(front, detector), inner, io_map=[("planes", f"detector/{io.images}")]
    )
    model = compose.merge_models(joined, _parse(back, detector), io_map=head)
    model.graph.name = detector.graph.name
    model.producer_name = "tridet"
    return model


def _parse(text: str, like: onnx.ModelProto) -> onnx.ModelProto:
    graph = parser.parse_graph(text)
    for node in graph.node:
        node.name = f"{graph.name}/{node.output[0]}"
    # merge_models joins models of one IR version only, and keeps the union of their opsets.
    model = onnx.helper.make_model(graph, opset_imports=like.opset_import)
    model.ir_version = like.ir_version
    return model


def _signature(tensor: onnx.ValueInfoProto) -> str:
    kind = TensorProto.DataType.Name(tensor.type.tensor_type.elem_type).lower()
    return f"{tensor.name} {kind} {shape_of(tensor)}".replace("'", "").replace("None", "?")
