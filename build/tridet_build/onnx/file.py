"""Read an ONNX file, and say in one line why that cannot be done."""

from pathlib import Path

import onnx

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
