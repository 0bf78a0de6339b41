"""The class names that an exporter left in an ONNX file."""

import ast
from pathlib import Path

from tridet_build.errors import GraphError
from tridet_build.onnx.file import read_onnx


def labels_in(path: Path) -> tuple[str, ...]:
    """Read the ``names`` of the metadata, which Ultralytics writes as a Python dictionary.

    Returns:
        Class names, the index is the class id.

    Raises:
        OnnxError: not a readable ONNX model.
        GraphError: it names no classes in that form.
    """
    metadata = read_onnx(path).metadata_props
    text = next((entry.value for entry in metadata if entry.key == "names"), None)
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
