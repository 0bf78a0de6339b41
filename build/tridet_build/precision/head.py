"""Where a detector ends: its decode tail, told from the graph and never from names."""

from collections.abc import Mapping

import onnx

from tridet_build.errors import PrecisionError


def decode_tail(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes behind the last convolutions of the head: scores and boxes are made there.

    A convolution behind a softmax is part of it: the weighted mean that decodes box distances.
    """
    return _tail(model)[0]


def head_tail(model: onnx.ModelProto) -> set[str]:
    """Names of the decode tail's nodes and of the convolutions right before it."""
    tail, last = _tail(model)
    return tail | last


def _tail(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Walk back from the outputs; return the nodes met, and the convolutions where it ended."""
    makers = {name: node for node in model.graph.node for name in node.output}
    tail: set[str] = set()
    last: set[str] = set()
    waiting = [tensor.name for tensor in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in tail | last:
            continue
        if node.op_type == "Conv" and not _follows_softmax(node, makers):
            last.add(node.name)
            continue
        tail.add(node.name)
        waiting += node.input
    if not last or len(tail) > len(model.graph.node) / 2:
        raise PrecisionError(
            "expected a head that ends in convolutions, got "
            f"{len(tail)} of {len(model.graph.node)} nodes behind the last {len(last)} ones"
        )
    return tail, last


def _follows_softmax(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> bool:
    before = makers.get(node.input[0])
    while before is not None and before.op_type in ("Transpose", "Reshape"):
        before = makers.get(before.input[0])
    return before is not None and before.op_type == "Softmax"
