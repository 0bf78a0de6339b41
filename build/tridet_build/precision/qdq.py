"""Q/DQ pairs in an ONNX: read their scales, take some of them out."""

from collections.abc import Collection

import onnx
from onnx import numpy_helper


def activation_scales(model: onnx.ModelProto) -> dict[str, float]:
    """Return the scale of each tensor that is quantized while the detector runs.

    Args:
        model: with Q/DQ pairs.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.input[0]: float(numpy_helper.to_array(stored[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in stored
    }


def without_qdq(model: onnx.ModelProto, nodes: Collection[str]) -> onnx.ModelProto:
    """Return a copy in which these nodes take their inputs, weights too, as they were.

    The Q/DQ pairs that nobody else needs are gone.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name not in nodes:
            continue
        for index, name in enumerate(node.input):
            dequantize = makers.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = makers.get(dequantize.input[0])
            if quantize is not None and quantize.op_type == "QuantizeLinear":
                node.input[index] = quantize.input[0]
    _prune(graph)
    return copy


def _prune(graph: onnx.GraphProto) -> None:
    """Remove the Q/DQ nodes that feed nothing, and what only they were given."""
    outputs = {tensor.name for tensor in graph.output}
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        used = outputs | {name for node in graph.node for name in node.input}
        for node in [n for n in graph.node if n.op_type == kind and not used & set(n.output)]:
            graph.node.remove(node)
    used = outputs | {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
