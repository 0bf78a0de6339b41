"""What a detector's output means: recognized by its shape and the file's metadata, never by names.

ultralytics    [N, 4 + C, A]  centre x, centre y, width, height, then C class scores
yolov5         [N, A, 5 + C]  the same with an objectness before the class scores
end_to_end     [N, M, 6]      x1, y1, x2, y2, score, class: heads that need no NMS

All in pixels of the letterboxed input. Where a shape fits several, the metadata decides, then the
number of rows: an anchor-based head has one for each anchor of each cell. What is still ambiguous
is refused rather than guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from tridet_build.errors import GraphError
from tridet_build.onnx.labels import class_names, literal

Layout: TypeAlias = Literal["ultralytics", "yolov5", "end_to_end"]
LAYOUTS: Final[tuple[Layout, ...]] = get_args(Layout)
Axis: TypeAlias = int | str | None

_STRIDES: Final = (4, 8, 16, 32, 64)
_MOST_ANCHORS_PER_CELL: Final = 9
_SHOWN_NAMES: Final = 4
_ADVICE: Final = "export with `tridet-build export`"


@dataclass(frozen=True)
class Prediction:
    """The detector's output.

    Attributes:
        layout: how to read it.
        rows: A or M, how many boxes there are in it.
    """

    layout: Layout
    rows: int


def recognize(
    shape: Sequence[Axis],
    *,
    classes: int,
    input_size: int,
    metadata: Mapping[str, str],
    layout: str | None = None,
) -> Prediction:
    """Recognize the layout of a detector's only output.

    Args:
        shape: of the output, batch axis first; a name or None where an axis is dynamic.
        classes: C, the number of labels.
        input_size: S, in pixels.
        metadata: of the ONNX file: ``task``, ``names``, ``end2end`` and ``args`` as Ultralytics
            writes them.
        layout: one of LAYOUTS, to overrule metadata and row count; the shape must fit all the same.

    Raises:
        GraphError: labels that contradict the metadata, or a layout that is foreign, ambiguous or
            not the one asked for; says what was found.
    """
    if layout is not None and layout not in LAYOUTS:
        raise GraphError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")
    _check_metadata(metadata, classes)
    found = f"got an output [{', '.join(str(axis or '?') for axis in shape)}]"
    if len(shape) != 3 or not all(isinstance(axis, int) for axis in shape[1:]):
        raise GraphError(
            f"expected an output {_wanted(classes)}, {found}; {_ADVICE}, or with simplify=True and "
            "without nms=True, which fixes the sizes"
        )
    second, third = (int(axis) for axis in shape[1:] if isinstance(axis, int))
    fits: dict[Layout, int] = {}
    if second == 4 + classes:
        fits["ultralytics"] = third
    if third == 5 + classes:
        fits["yolov5"] = second
    if third == 6:
        fits["end_to_end"] = second
    if layout is not None:
        fits = {name: rows for name, rows in fits.items() if name == layout}
        if not fits:
            raise GraphError(f"expected an output {_shape_of(layout, classes)}, {found}")
    elif not fits:
        raise GraphError(f"expected an output {_wanted(classes)}, {found}{_hint(third, classes)}")
    else:
        fits = _choose(fits, third == 4 + classes, metadata, input_size, found)
    ((chosen, rows),) = fits.items()
    return Prediction(chosen, rows)


def _choose(
    fits: dict[Layout, int],
    transposed: bool,
    metadata: Mapping[str, str],
    input_size: int,
    found: str,
) -> dict[Layout, int]:
    """Return the one reading that metadata and row count leave, or say why there is not one."""
    said = _says_end_to_end(metadata)
    if said is not None:
        # Only Ultralytics says so, and its exports have no objectness.
        fitting: Layout = "end_to_end" if said else "ultralytics"
        if fitting not in fits:
            raise GraphError(
                f"expected the layout {fitting}, as the metadata has end2end = {said}, {found}, "
                f"which would be {_or(fits)}; if it is, say so with layout in the manifest"
            )
        return {fitting: fits[fitting]}
    if transposed:
        raise GraphError(
            f"{found}, which may be {_or(fits)}, or a transposed or RT-DETR head, which is not "
            "served; if it is the former, say so with layout in the manifest"
        )
    left = dict(fits)
    if len(fits) > 1:
        left = {name: n for name, n in fits.items() if _plausible(name, n, input_size)}
    elif "yolov5" in fits and _anchors_per_cell(fits["yolov5"], input_size) == 1:
        raise GraphError(
            f"{found}, which has an objectness but one anchor per cell, as YOLOX and YOLOv6 do; "
            "YOLOX takes pixels of 0 to 255, which are not served; if this one takes RGB of 0 to "
            "1, say so with layout = 'yolov5' in the manifest"
        )
    if len(left) != 1:
        raise GraphError(
            f"{found}, which may be {_or(fits)}; say which with layout in the manifest"
        )
    return left


def _plausible(layout: Layout, rows: int, input_size: int) -> bool:
    per_cell = _anchors_per_cell(rows, input_size)
    match layout:
        case "ultralytics":
            return per_cell is not None
        case "yolov5":
            return per_cell is not None and per_cell > 1
        case "end_to_end":
            return per_cell is None


def _anchors_per_cell(rows: int, input_size: int) -> int | None:
    """Return how many anchors each cell of a feature pyramid has if there are ``rows`` in all.

    The pyramid has two or more neighbouring levels; None if no such pyramid has that many.
    """
    strides = [stride for stride in _STRIDES if input_size % stride == 0]
    cells = [(input_size // stride) ** 2 for stride in strides]
    pyramids = [
        sum(cells[first:end])
        for first in range(len(cells))
        for end in range(first + 2, len(cells) + 1)
    ]
    counts = [rows // pyramid for pyramid in pyramids if rows % pyramid == 0]
    return min((n for n in counts if 1 <= n <= _MOST_ANCHORS_PER_CELL), default=None)


def _check_metadata(metadata: Mapping[str, str], classes: int) -> None:
    task = metadata.get("task", "detect")
    if task != "detect":
        raise GraphError(f"expected a model of the task detect, got {task}")
    names = class_names(metadata)
    if names is not None and len(names) != classes:
        shown = list(names[:_SHOWN_NAMES])
        more = [] if len(names) <= _SHOWN_NAMES else ["..."]
        raise GraphError(
            f"labels: expected {len(names)}, one for each of the names in the ONNX file "
            f"({', '.join(shown + more)}), got {classes}"
        )


def _says_end_to_end(metadata: Mapping[str, str]) -> bool | None:
    """Return what Ultralytics wrote of the head; None if it wrote nothing."""
    arguments = literal(metadata.get("args"))
    if isinstance(arguments, dict) and arguments.get("nms") is True:
        return True  # NMS embedded in the graph leaves the same layout
    said = literal(metadata.get("end2end"))
    return said if isinstance(said, bool) else None


def _hint(third: int, classes: int) -> str:
    if third == 4 + classes:
        return "; a transposed or RT-DETR head, which is not served"
    return f"; check the labels, or {_ADVICE}"


def _or(layouts: Mapping[Layout, int]) -> str:
    return " or ".join(layouts)


def _wanted(classes: int) -> str:
    shapes = [f"{_shape_of(layout, classes)} ({layout})" for layout in LAYOUTS]
    return f"{', '.join(shapes[:-1])} or {shapes[-1]}, for {classes} labels"


def _shape_of(layout: str, classes: int) -> str:
    return {
        "ultralytics": f"[N, {4 + classes}, anchors]",
        "yolov5": f"[N, anchors, {5 + classes}]",
        "end_to_end": "[N, rows, 6]",
    }[layout]
