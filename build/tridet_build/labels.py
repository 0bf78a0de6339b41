"""The class names that an exporter left in an ONNX file."""

import ast
from pathlib import Path

import onnx

from tridet_build._exceptions import GraphError


def labels_in(path: Path) -> tuple[str, ...]:
    """Read the ``names`` of the metadata, which Ultralytics writes as a Python dictionary.

    Returns:
        Class names, the index is the class id.

    Raises:
        GraphError: not a readable ONNX model, or it names no classes in that form.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises its own types on a damaged file
        reason = str(error).strip().splitlines()[0]
        raise GraphError(f"{path}: not a readable ONNX model: {reason}") from None
    text = next((entry.value for entry in model.metadata_props if entry.key == "names"), None)
    if text is None:
        raise GraphError(
            f"{path}: expected class names in its metadata (names), found none; say them in the "
            "manifest: labels = [...]"
        )
    try:
        names = ast.literal_eval(text)
        labels = tuple(names[index] for index in range(len(names)))
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        labels = ()
    if not labels or not all(isinstance(label, str) and label for label in labels):
        raise GraphError(
            f"{path}: names: expected {{0: 'a', 1: 'b', ...}}, got {text[:80]!r}; say them in the "
            "manifest: labels = [...]"
        )
    return labels
