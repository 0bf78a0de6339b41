"""Read an ONNX file, and say in one line why that cannot be done."""

from pathlib import Path

import onnx
from onnx import ModelProto, ValueInfoProto

from tridet_build.errors import OnnxError, first_line


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file with all its weights, and check that it is a valid model.

    Raises:
        OnnxError: no such file, or not a readable ONNX model.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise OnnxError(path, "no such file") from None
    except Exception as error:  # protobuf raises its own types on a damaged file
        raise OnnxError(path, f"not a readable ONNX model: {first_line(error)}") from None
    return model


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
