"""Read an ONNX file, in a form that every later stage can take, or say why that cannot be done."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from tridet_build.errors import OnnxError, first_line
from tridet_build.files import sha256_of

# Split takes its sizes as an input since 13; older exports would need a second serving graph.
OLDEST_OPSET: Final = 13
# The version of the format since which weights need not be inputs as well.
_SEPARATE_WEIGHTS: Final = 4


def read_onnx(path: Path) -> ModelProto:
    """Read an ONNX file with all its weights, and check that it is a valid model.

    ONNX Runtime runs nodes in any order, and any opset; the checker and TensorRT do not. So nodes
    that are out of order are sorted, and an opset older than ``OLDEST_OPSET`` is converted to it.
    Weights that old exporters list as inputs are constants, which inference of shapes relies on.

    Raises:
        OnnxError: no such file, not a readable ONNX model, or one too old to be converted.
    """
    try:
        model = onnx.load(path)
        sort_nodes(model.graph)
        _take_weights_for_constants(model)
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise OnnxError(path, "no such file") from None
    except Exception as error:  # protobuf raises its own types on a damaged file
        raise OnnxError(path, f"not a readable ONNX model: {first_line(error)}") from None
    return _converted(path, model) if opset_of(model) < OLDEST_OPSET else model


def inputs_of(model: ModelProto) -> list[ValueInfoProto]:
    """Return what the model is to be given; older files list their weights as inputs too."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [tensor for tensor in model.graph.input if tensor.name not in stored]


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators; 0 where the model says none."""
    return max(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        default=0,
    )


def metadata_of(model: ModelProto) -> dict[str, str]:
    """Return what the exporter wrote beside the graph."""
    return {entry.key: entry.value for entry in model.metadata_props}


def files_of(weights: Path) -> list[Path]:
    """Return all the files that weights consist of: an ONNX file may keep its tensors beside it.

    Raises:
        OSError: the file cannot be read.
    """
    content = weights.read_bytes()
    # Every tensor that lies elsewhere says its location; most files have none, and need no parsing.
    if weights.suffix != ".onnx" or b"location" not in content:
        return [weights]
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's own types; whoever reads the model says what is wrong
        return [weights]
    nodes = [node for function in model.functions for node in function.node]
    tensors = (*_tensors_in(model.graph), *_tensors_of(nodes))
    names = {ExternalDataInfo(one).location for one in tensors if uses_external_data(one)}
    return [weights, *(weights.parent / name for name in sorted(names))]


def weights_sha256(weights: Path) -> str:
    """SHA-256 of a weights file; where tensors lie in files beside it, over all of their hashes.

    Raises:
        OSError: one of them cannot be read.
    """
    hashes = [sha256_of(path) for path in files_of(weights)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def sort_nodes(graph: GraphProto) -> None:
    """Put each node behind those whose outputs it takes, and leave the order else as it was.

    A graph with a circle is left alone: the checker refuses it.
    """
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                sort_nodes(inner)
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    needs = [{makers[name] for name in _taken(node) if name in makers} for node in graph.node]
    if all(index > max(needed, default=-1) for index, needed in enumerate(needs)):
        return
    takers: dict[int, list[int]] = {}
    for index, needed in enumerate(needs):
        for maker in needed:
            takers.setdefault(maker, []).append(index)
    ready = [index for index, needed in enumerate(needs) if not needed]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for taker in takers.get(index, ()):
            needs[taker].remove(index)
            if not needs[taker]:
                heapq.heappush(ready, taker)
    if len(order) == len(graph.node):
        copy = GraphProto()
        copy.node.extend(graph.node[index] for index in order)
        del graph.node[:]
        graph.node.extend(copy.node)


def _take_weights_for_constants(model: ModelProto) -> None:
    wanted = ModelProto()
    wanted.graph.input.extend(inputs_of(model))
    if len(wanted.graph.input) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(wanted.graph.input)
        model.ir_version = max(model.ir_version, _SEPARATE_WEIGHTS)


def _converted(path: Path, model: ModelProto) -> ModelProto:
    try:
        newer: ModelProto = onnx.version_converter.convert_version(model, OLDEST_OPSET)
        onnx.checker.check_model(newer)
    except Exception as error:  # the converter and the checker raise types of their own
        raise OnnxError(
            path,
            f"expected opset {OLDEST_OPSET} or newer, got {opset_of(model)}, which cannot be "
            f"converted ({first_line(error)}); export again with --opset {OLDEST_OPSET} or newer",
        ) from None
    del newer.metadata_props[:]  # the converter drops some or all
    newer.metadata_props.extend(model.metadata_props)
    return newer


def _taken(node: NodeProto) -> Iterator[str]:
    """Yield the names that a node takes, by way of the graphs inside it too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _taken(inner)
            for tensor in graph.output:
                yield tensor.name


def _tensors_in(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_of(graph.node)


def _tensors_of(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors_in(inner)
