"""Choose the final detections of one image: threshold and class-aware NMS, in pure NumPy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Thresholds:
    """The request parameters of the contract.

    Attributes:
        conf: smallest score that is kept, in [0, 1].
        iou: largest overlap that two kept boxes of one class may have, in [0, 1].
        max_det: most detections of one image, >= 1.
        agnostic: suppress across classes.
        classes: class ids to keep; None keeps all.
    """

    conf: float
    iou: float
    max_det: int
    agnostic: bool
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("conf", "iou"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {value!r}")
        if type(self.max_det) is not int or self.max_det < 1:
            raise ValueError(f"max_det: expected an integer of 1 or more, got {self.max_det!r}")
        if type(self.agnostic) is not bool:
            raise ValueError(f"agnostic: expected true or false, got {self.agnostic!r}")

    def overridden(self, parameters: Mapping[str, object]) -> "Thresholds":
        """Return these thresholds with a request's parameters put in.

        Parameters of other names are left alone: Triton and other steps have their own.

        Raises:
            ValueError: a value of the wrong type or out of range; names it.
        """
        known = {name: parameters[name] for name in self.__dataclass_fields__ if name in parameters}
        if "classes" in known:
            known["classes"] = _class_ids(known["classes"])
        return replace(self, **known) if known else self  # type: ignore[arg-type]


def nms(
    boxes: Float32Array, scores: Float32Array, class_ids: Int32Array, thresholds: Thresholds
) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: float32 [K, 4], xyxy.
        scores: float32 [K], descending, as TopK leaves them.
        class_ids: int32 [K].
        thresholds: what to keep.

    Returns:
        Indices of the kept rows, best first; at most ``max_det``.
    """
    # Scores descend, so the threshold is a cut.
    count = int(np.searchsorted(-scores, -thresholds.conf, side="right"))
    rows = np.arange(count)
    if thresholds.classes is not None:
        rows = rows[np.isin(class_ids[:count], thresholds.classes)]
    if len(rows) > 1:
        clashes = _clashes(boxes[rows], thresholds.iou)
        if not thresholds.agnostic:
            classes = class_ids[rows]
            clashes &= classes[:, None] == classes[None, :]
        rows = rows[_greedy(clashes)]
    return rows[: thresholds.max_det]


def _clashes(boxes: Float32Array, iou: float) -> npt.NDArray[np.bool_]:
    """Say of every pair whether it overlaps by more than ``iou``: bool [n, n].

    Compares shared > iou * union, so that boxes without area clash with none; column by column and
    in place, which is several times faster than on [n, n, 2] arrays.
    """
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    shared = np.minimum.outer(right, right)
    shared -= np.maximum.outer(left, left)
    height = np.minimum.outer(bottom, bottom)
    height -= np.maximum.outer(top, top)
    np.maximum(shared, 0, out=shared)
    shared *= np.maximum(height, 0, out=height)
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    union = np.add.outer(area, area)
    union -= shared
    union *= np.float32(iou)
    clashes: npt.NDArray[np.bool_] = shared > union
    return clashes


def _greedy(clashes: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the rows that clash with no better kept row."""
    rivals = np.triu(clashes, k=1)
    kept = np.ones(len(clashes), dtype=np.bool_)
    for row in np.flatnonzero(rivals.any(axis=1)):  # the others drop nobody
        if kept[row]:
            kept &= ~rivals[row]
    return kept


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _class_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, str):
        raise ValueError(f"classes: expected a string like '0,2', got {value!r}")
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"classes: expected comma-separated class indices, got {value!r}")
    return tuple(int(part) for part in parts)
