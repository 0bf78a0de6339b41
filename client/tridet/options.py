"""What may be set for a detection: checked here, sent as request parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, TypeAlias, TypedDict

from tridet.exceptions import InvalidInput
from tridet.processing.contract import AGNOSTIC, CLASSES, CONF, IMGSZ, IOU, MAX_DET, THRESHOLDS
from tridet.processing.parameters import (
    ParameterError,
    check_agnostic,
    check_fraction,
    check_max_det,
    text_from_class_ids,
)

TILES = "tiles"
OVERLAP = "overlap"
WHOLE = "whole"
_SETTINGS = (*THRESHOLDS, IMGSZ, TILES, OVERLAP, WHOLE)

Parameters: TypeAlias = "dict[str, bool | int | float | str]"


class Thresholds(TypedDict, total=False):
    """What may be set on a detector and overridden in each call; None means the model's default."""

    conf: float | None
    """Detections below this confidence, in [0, 1], are dropped."""
    iou: float | None
    """Of two boxes of one class that overlap by more, in [0, 1], the weaker is dropped."""
    max_det: int | None
    """At most this many detections, the strongest first."""
    classes: str | int | Iterable[str | int] | None
    """Only these classes, by name or index; in one text with commas between them. A number in a
    text is an index where no class is named so."""
    agnostic: bool | None
    """Let boxes of different classes suppress each other."""
    imgsz: int | None
    """Side of the square that the image is fitted into, in pixels; one of the model's sizes."""
    tiles: str | None
    """Look at the image in so many tiles too, ``COLUMNSxROWS``, which finds smaller objects."""
    overlap: float | None
    """Share of a tile's side that the next tile shows too, in [0, 0.9); 0.2 by default. An object
    should fit into it."""
    whole: bool | None
    """Whether the whole image is looked at beside its tiles, as it is by default: for what is too
    large for them."""


def given(thresholds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds that are set.

    Raises:
        TypeError: an unknown keyword.
    """
    unknown = set(thresholds) - set(_SETTINGS)
    if unknown:
        raise TypeError(
            f"unexpected keyword {', '.join(sorted(unknown))}: expected {', '.join(_SETTINGS)}"
        )
    return {name: value for name, value in thresholds.items() if value is not None}


def parameters_from_thresholds(
    thresholds: Mapping[str, Any], labels: tuple[str, ...]
) -> Parameters:
    """Return the request parameters for thresholds that are ``given``.

    Raises:
        InvalidInput: out of range, of a wrong type, or a class that the model does not know.
    """
    parameters: Parameters = {}
    try:
        for name, value in thresholds.items():
            if name in (CONF, IOU):
                parameters[name] = check_fraction(name, value)
            elif name == MAX_DET:
                parameters[name] = check_max_det(value)
            elif name == AGNOSTIC:
                parameters[name] = check_agnostic(value)
            elif name == CLASSES:
                parameters[name] = text_from_class_ids(_class_ids(value, labels))
            elif name == IMGSZ:  # checked by ModelInfo.side, which knows the sizes
                parameters[name] = int(value)
    except ParameterError as error:
        raise InvalidInput(str(error)) from None
    return parameters


def _class_ids(classes: Any, labels: tuple[str, ...]) -> list[int]:
    if isinstance(classes, str):
        classes = _parts_of(classes, labels)
    elif isinstance(classes, Integral):
        classes = [classes]
    if not isinstance(classes, Iterable):
        raise InvalidInput(f"classes: expected names or indices, got {classes!r}")
    indices = []
    for item in classes:
        is_number = isinstance(item, Integral) or (isinstance(item, str) and item.isdecimal())
        if isinstance(item, str) and item in labels:
            indices.append(labels.index(item))
        elif is_number and 0 <= int(item) < len(labels):
            indices.append(int(item))
        else:
            raise InvalidInput(
                f"classes: expected one of {', '.join(labels)} or an index from 0 to "
                f"{len(labels) - 1}, got {item!r}"
            )
    return indices


def _parts_of(text: str, labels: tuple[str, ...]) -> list[str]:
    """Split a text at its commas, but for those of a class's own name, as in ``nut, bolt``."""
    pieces, parts = text.split(","), []
    while pieces:
        # The longest that is a name; else one piece, which may be an index.
        for count in range(len(pieces), 0, -1):
            joined = ",".join(pieces[:count])
            part = joined if joined in labels else joined.strip()
            if part in labels or count == 1:
                break
        if part:
            parts.append(part)
        del pieces[:count]
    return parts
