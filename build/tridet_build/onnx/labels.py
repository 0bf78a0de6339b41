"""The class names that an exporter left in an ONNX file: the only place where they are read."""

import ast
from collections.abc import Mapping
from pathlib import Path

from tridet_build.errors import GraphError


def labels_in(path: Path) -> tuple[str, ...]:
    """Read the class names of an ONNX file.

    Returns:
        Class names, the index is the class id.

    Raises:
        OnnxError: not a readable ONNX model.
        GraphError: it names no classes, not as Ultralytics does, or two by one name; or it names
            none and has more than one input and output.
    """
    # Late, for manifests need the layouts and these need the names, but no ONNX.
    from tridet_build.onnx.file import metadata_of, read_onnx

    model = read_onnx(path)
    metadata = metadata_of(model)
    if "names" not in metadata:
        from tridet_build.onnx.serving_graph import check_one_output

        try:
            check_one_output(model)  # without which no labels would help
        except GraphError as error:
            raise GraphError(f"{path}: {error}") from None
        raise GraphError(
            f"{path}: expected class names in its metadata (names), found none; say them in the "
            "manifest: labels = [...]"
        )
    labels = class_names(metadata)
    if labels is None:
        raise GraphError(
            f"{path}: names: expected {{0: 'a', 1: 'b', ...}}, got {metadata['names'][:80]!r}; say "
            "them in the manifest: labels = [...]"
        )
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise GraphError(
            f"{path}: names: expected different names, got {', '.join(twice)} twice; say others in "
            "the manifest: labels = [...]"
        )
    return labels


def class_names(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Read the ``names`` of the metadata, which Ultralytics and YOLOv5 write as a Python literal.

    That is a list, or a dictionary with the class ids as keys: numbers, or as Ultralytics also
    takes them from a data set's YAML, quoted numbers, or some of each.

    Returns:
        Class names, the index is the class id; None where there are none of that form.
    """
    names = literal(metadata.get("names"))
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        return None
    try:
        by_id = {int(key): name for key, name in names.items()}
    except (TypeError, ValueError):
        return None
    if not by_id or len(by_id) != len(names) or sorted(by_id) != list(range(len(by_id))):
        return None
    labels = tuple(by_id[index] for index in range(len(by_id)))
    return labels if all(isinstance(label, str) and label for label in labels) else None


def literal(text: str | None) -> object:
    """Read a Python literal, as Ultralytics and YOLOv5 write their metadata; None if it is none."""
    try:
        return ast.literal_eval(text or "None")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
