"""What a simplifier can do to a graph, none of it wanted."""

import numpy as np
import onnx


def crash(_: onnx.ModelProto) -> onnx.ModelProto:
    raise RuntimeError("no kernel\nfor Gather")


def lose_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model


def lose_input_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return model


def bake_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Declare a dynamic batch, but compute one frame only."""
    flat = next(tensor for tensor in model.graph.initializer if tensor.name == "flat")
    flat.CopyFrom(onnx.numpy_helper.from_array(np.array([1, -1, 1], np.int64), "flat"))
    return model


def change_scores(model: onnx.ModelProto) -> onnx.ModelProto:
    table = next(tensor for tensor in model.graph.initializer if tensor.name == "scaled")
    changed = onnx.numpy_helper.to_array(table) + np.float32(0.1)
    table.CopyFrom(onnx.numpy_helper.from_array(changed, "scaled"))
    return model


def break_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.node[0].input[0] = "nowhere"
    return model
