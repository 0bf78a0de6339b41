"""What a precision variant has become: counted in its ONNX, and held against what was asked."""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import onnx
from onnx import TensorProto, numpy_helper

from tridet_build.errors import PrecisionError

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

HEAVY: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Where the arithmetic is: what has to be FP16 or INT8 for either to have been achieved."""

_KINDS: Final[dict[str, str]] = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
# An asked precision that reaches fewer of the heavy nodes that could have it was not achieved.
_LEAST_SHARE: Final[dict[str, float]] = {"fp16": 0.9, "int8": 0.5}
_PLUMBING: Final = ("Cast", "QuantizeLinear", "DequantizeLinear")
_NAMES: Final[dict[int, str]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT8: "int8",
}


@dataclass(frozen=True)
class PrecisionReport:
    """What was asked, what was achieved, and with what.

    Attributes:
        precision: what was asked for.
        source_sha256: of the FP32 ONNX.
        sha256: of the ONNX that was written.
        size_bytes: of the ONNX that was written.
        nodes: how many nodes compute in each precision, Q/DQ and casts not counted.
        heavy_nodes: the same of convolutions and matrix products alone.
        plumbing: how many casts and Q/DQ nodes were added.
        weights: bytes of the stored weights by their type.
        kept: node names that were kept from the asked precision, by reason.
        calibration: settings, digests and counts of the calibration; None without one.
        tools: package versions.
        seconds: time of each step.
        notes: what the user should know, a line each.
    """

    precision: Precision
    source_sha256: str
    sha256: str
    size_bytes: int
    nodes: dict[str, int]
    heavy_nodes: dict[str, int]
    plumbing: dict[str, int]
    weights: dict[str, int]
    kept: dict[str, list[str]]
    tools: dict[str, str]
    seconds: dict[str, float]
    calibration: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return asdict(self)


def stored_precision(model: onnx.ModelProto) -> Precision:
    """Tell the precision of a detector from its own weights and Q/DQ pairs."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return "fp16" if halves else "fp32"


def check_achieved(report: PrecisionReport, candidates: int) -> None:
    """Compare what was asked with what was achieved.

    Args:
        report: of the conversion.
        candidates: how many convolutions and matrix products could have the asked precision.

    Raises:
        PrecisionError: too few of them have it.
    """
    achieved = report.heavy_nodes.get(_KINDS[report.precision], 0)
    least = _LEAST_SHARE[report.precision]
    if not achieved or achieved < least * candidates:
        raise PrecisionError(
            f"asked for {report.precision.upper()}: expected at least {least:.0%} of "
            f"{candidates} convolutions and matrix products in it, got {achieved}"
        )


def could_have(precision: Precision, source: onnx.ModelProto, spared: Collection[str]) -> int:
    """Count the heavy nodes of the FP32 model that could have a precision.

    Args:
        precision: that was asked for.
        source: the FP32 model.
        spared: names of the nodes that were not to have it.
    """
    nodes = [node for node in source.graph.node if node.op_type in HEAVY]
    if precision == "int8":
        # Products of two activations, as in attention, have no weights to quantize.
        stored = {tensor.name for tensor in source.graph.initializer}
        nodes = [node for node in nodes if node.input[1] in stored]
    return sum(node.name not in spared for node in nodes)


def histograms(model: onnx.ModelProto) -> dict[str, dict[str, int]]:
    """Count nodes and weights: the four histograms of :class:`PrecisionReport` by name."""
    computes = computes_in(model)
    weights: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data) or numpy_helper.to_array(tensor).nbytes
        weights[_NAMES.get(tensor.data_type, "other")] += size
    heavy = [node.name for node in model.graph.node if node.op_type in HEAVY]
    plumbing = [node.op_type for node in model.graph.node if node.op_type in _PLUMBING]
    return {
        "nodes": dict(Counter(computes.values())),
        "heavy_nodes": dict(Counter(computes[name] for name in heavy)),
        "plumbing": dict(Counter(plumbing)),
        "weights": dict(weights),
    }


def computes_in(model: onnx.ModelProto) -> dict[str, str]:
    """Return the precision of each node by name, Q/DQ and casts left out.

    It is INT8 where a node is fed by a DequantizeLinear, as TensorRT takes it, and that of the
    first typed output otherwise.
    """
    types = _types(model)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type in _PLUMBING:
            continue
        if any(makers.get(name) == "DequantizeLinear" for name in node.input):
            found[node.name] = "int8"
            continue
        kinds = [_NAMES[types[name]] for name in node.output if types.get(name) in _NAMES]
        found[node.name] = kinds[0] if kinds else "other"
    return found


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for tensor in (*graph.input, *graph.value_info, *graph.output):
        types[tensor.name] = tensor.type.tensor_type.elem_type
    return types
