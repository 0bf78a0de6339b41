"""A stand-in detector as ONNX: any served layout, known numbers out, no training needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_stub(
    path: Path,
    *,
    classes: int = 3,
    size: int = 64,
    anchors: int = 84,
    batch: str | int = "batch",
    opset: int = 19,
    half: bool = False,
    dynamic_size: bool = False,
    seed: int = 0,
    layout: str = "ultralytics",
    output_batch: str | int | None = None,
    outputs: int = 1,
    metadata: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Write the detector and return its table: float32, the layout's shape without batch axis.

    Its output is that table times the mean of the first input plane, so it depends on the pixels
    and on their channel order; the classes of an end-to-end table stay as they are. A convolution
    changes nothing, but says in which precision the detector is.

    Args:
        anchors: rows of the table, whatever the layout calls them.
        output_batch: the first axis that the output declares; None for that of the input.
        outputs: how many outputs of that kind.
        metadata: beside ``names``, or in its place.
    """
    table = _table(layout, classes, size, anchors, seed)
    fixed = np.zeros_like(table)
    if layout == "end_to_end":
        fixed[:, 5] = table[:, 5]
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    number = np.float16 if half else np.float32
    constants = {
        "same": np.eye(3, dtype=number)[..., None, None],
        "flat": np.array([0, 3, 1], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "scaled": (table - fixed)[None].astype(number),
        "fixed": fixed[None].astype(number),
    }
    names = [f"output{i}" for i in range(outputs)]
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Conv", ["means", "same"], ["planes"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["planes", "flat"], ["rows"]),
        helper.make_node("Slice", ["rows", "first", "second", "second"], ["mean"]),
        helper.make_node("Mul", ["mean", "scaled"], ["part"]),
        *(helper.make_node("Add", ["part", "fixed"], [name]) for name in names),
    ]
    sides = ["height", "width"] if dynamic_size else [size, size]
    prediction = ["rows", "anchors"] if dynamic_size else [*table.shape]
    output_shape = [batch if output_batch is None else output_batch, *prediction]
    graph = helper.make_graph(
        nodes,
        "stub",
        [helper.make_tensor_value_info("images", kind, [batch, 3, *sides])],
        [helper.make_tensor_value_info(name, kind, output_shape) for name in names],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    props = {"names": str({i: f"c{i}" for i in range(classes)}), **(metadata or {})}
    helper.set_model_props(model, props)
    onnx.save(model, path)
    return table


def write_sampling_stub(
    path: Path, *, classes: int = 3, size: int | None = None, opset: int = 19
) -> None:
    """Write a detector whose anchors grow with its input, as a real one's do: one per 8 x 8 pixels.

    Each is a weighted sum of one pixel's channels.

    Args:
        size: of the input; None leaves height and width dynamic.
    """
    weights = np.random.default_rng(0).random((4 + classes, 3, 1, 1)).astype(np.float32) / 3
    weights[:4] *= 64
    constants = {"w": weights, "rows": np.array([0, 4 + classes, -1], np.int64)}
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["cells"], name="/head/Conv", strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "rows"], ["output0"], name="/head/Reshape"),
    ]
    sides = ["height", "width"] if size is None else [size, size]
    anchors = "anchors" if size is None else (size // 8) ** 2
    graph = helper.make_graph(
        nodes,
        "sampling stub",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *sides])],
        [
            helper.make_tensor_value_info(
                "output0", TensorProto.FLOAT, ["batch", 4 + classes, anchors]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, {"names": str({i: f"c{i}" for i in range(classes)})})
    onnx.save(model, path)


def _table(layout: str, classes: int, size: int, anchors: int, seed: int) -> np.ndarray:
    columns = {"ultralytics": 4 + classes, "yolov5": 5 + classes, "end_to_end": 6}[layout]
    rng = np.random.default_rng(seed)
    table = rng.random((columns, anchors)).astype(np.float32)
    table[:4] *= size
    if layout == "ultralytics":
        return table
    if layout == "end_to_end":
        table[4] = np.sort(table[4])[::-1]
        table[5] = rng.integers(0, classes, anchors)
    return np.ascontiguousarray(table.T)


def write_detector(folder: Path, manifest: str = "", **stub: object) -> np.ndarray:
    """Write a folder with a stub's ONNX and a manifest that names it, plus ``manifest`` lines."""
    folder.mkdir(parents=True)
    options = {"classes": 3, "size": 64, **stub}
    table = write_stub(folder / "weights.onnx", **options)  # type: ignore[arg-type]
    labels = [f"c{i}" for i in range(int(options["classes"]))]  # type: ignore[call-overload]
    (folder / "detector.toml").write_text(
        f'name = "{folder.name}"\nweights = "weights.onnx"\nlabels = {labels}\n'
        f"input_size = {options['size']}\ncandidates = 40\n{manifest}"
    )
    return table


def write_group(folder: Path, members: Sequence[str]) -> None:
    """Write a folder with the group of these detectors."""
    folder.mkdir(parents=True)
    (folder / "group.toml").write_text(f'name = "{folder.name}"\ngroup = {list(members)}\n')


def write_dynamic_detector(
    folder: Path, manifest: str = "", sizes: tuple[int, int, int] = (64, 96, 160)
) -> None:
    """Write a folder with a stub that takes any of ``sizes`` (min, opt, max) and its manifest."""
    folder.mkdir(parents=True)
    write_sampling_stub(folder / "weights.onnx")
    smallest, usual, largest = sizes
    (folder / "detector.toml").write_text(
        f'name = "{folder.name}"\nweights = "weights.onnx"\nlabels = ["c0", "c1", "c2"]\n'
        f"input_size = {{ min = {smallest}, opt = {usual}, max = {largest} }}\ncandidates = 40\n"
        f"{manifest}"
    )
