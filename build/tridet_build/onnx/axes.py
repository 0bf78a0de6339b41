"""Height and width of a detector's ONNX: dynamic, or fixed at one size."""

import onnx
import onnx.shape_inference


def fix_size(model: onnx.ModelProto, size: int) -> None:
    """Give height and width, where ``dynamic=True`` left them open, one value in pixels."""
    pictures = [tensor.type.tensor_type.shape.dim for tensor in model.graph.input]
    pictures = [axes for axes in pictures if len(axes) == 4]
    if all(axis.HasField("dim_value") for axes in pictures for axis in axes[2:]):
        return
    for axes in pictures:
        for axis in axes[2:]:
            axis.dim_value = axis.dim_value or size
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    infer_shapes(model)


def fixed_copy(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Return a copy that :func:`fix_size` has fixed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    fix_size(copy, size)
    return copy


def infer_shapes(model: onnx.ModelProto) -> None:
    """Say anew what shapes the inner tensors have.

    What exporters and other tools say of them may hold for one size or one batch size only.
    """
    del model.graph.value_info[:]
    model.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=True))


def shape_of(tensor: onnx.ValueInfoProto) -> list[int | str | None]:
    """Return the axes: a number where fixed, a name or None where dynamic."""
    return [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
        for axis in tensor.type.tensor_type.shape.dim
    ]
