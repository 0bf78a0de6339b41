"""A stand-in detector as ONNX: Ultralytics' layout, known numbers out, no training needed."""

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
) -> np.ndarray:
    """Write the detector and return its table, float32 [4 + classes, anchors].

    Its output is that table times the mean of the first input plane, so it depends on the pixels
    and on their channel order.
    """
    table = np.random.default_rng(seed).random((4 + classes, anchors)).astype(np.float32)
    table[:4] *= size
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    constants = {
        "flat": np.array([0, 3, 1], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "table": table[None].astype(np.float16 if half else np.float32),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Reshape", ["means", "flat"], ["rows"]),
        helper.make_node("Slice", ["rows", "first", "second", "second"], ["mean"]),
        helper.make_node("Mul", ["mean", "table"], ["output0"]),
    ]
    sides = ["height", "width"] if dynamic_size else [size, size]
    prediction = ["rows", "anchors"] if dynamic_size else [4 + classes, anchors]
    graph = helper.make_graph(
        nodes,
        "stub",
        [helper.make_tensor_value_info("images", kind, [batch, 3, *sides])],
        [helper.make_tensor_value_info("output0", kind, [batch, *prediction])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, {"names": str({i: f"c{i}" for i in range(classes)})})
    onnx.save(model, path)
    return table


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
