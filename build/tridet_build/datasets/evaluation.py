"""Judge detections as COCO does, with pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tridet_build.datasets.dataset import BoolArray, Float64Array
from tridet_build.datasets.truth import Truth
from tridet_build.errors import INSTALL, DataError

AREAS = ("all", "small", "medium", "large")
"""COCO's: below 32 x 32 pixels, up to 96 x 96, and above."""


class Detections(Protocol):
    """The n detections of one image."""

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """float32 [n, 4]: x1, y1, x2, y2 in pixels."""

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """float32 [n]."""

    @property
    def class_ids(self) -> npt.NDArray[np.int32]:
        """int32 [n]: of the model."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Which detections of one class hit an object, at IoU 0.5, and which objects were hit.

    Detections that match a crowd are left out. The arrays go by detection or by object.
    """

    truth: int
    """How many objects there are."""
    scores: Float64Array
    """float64 [n], descending."""
    hits: BoolArray
    """bool [n]."""
    images: npt.NDArray[np.int64]
    """int64 [n]: index of the image."""
    rows: npt.NDArray[np.int64]
    """int64 [n]: index of the detection in its image."""
    hit_by: dict[tuple[int, int], float]
    """Image and row of an object to the score of the detection that hit it; 0 for none."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What pycocotools says of a run."""

    precision: Float64Array
    """float64 [10 IoUs from 0.5 to 0.95, 101 recalls, classes, 4 AREAS]; -1 without objects."""
    recall: Float64Array
    """float64 [10 IoUs, classes, 4 AREAS]: what is reached at most; -1 without objects."""
    truth: dict[str, int]
    """How many objects there are in each of AREAS."""
    matches: list[Matches]
    """Of each class."""

    def ap(self, *, class_id: int | None = None, area: str = "all", iou: int | None = None) -> Any:
        """Return the average precision, None without objects; ``iou`` is an index of the ten."""
        values = self.precision[..., AREAS.index(area)]
        values = values if class_id is None else values[:, :, class_id]
        values = values if iou is None else values[iou]
        known = values[values > -1]
        return float(known.mean()) if known.size else None

    def ar(self, area: str = "all") -> float | None:
        """Return the average recall, None without objects."""
        values = self.recall[..., AREAS.index(area)]
        known = values[values > -1]
        return float(known.mean()) if known.size else None


def judge(
    truths: Sequence[Truth], detections: Sequence[Detections], classes: int, max_det: int
) -> Judgement:
    """Evaluate a run.

    Args:
        truths: one per image.
        detections: of the same images.
        classes: how many the model has.
        max_det: how many detections of an image count.

    Raises:
        DataError: pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DataError(f"mAP needs pycocotools, which is missing: {INSTALL}") from None

    target, found = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        target.dataset = _dataset(len(truths), classes, _truth_rows(truths))
        target.createIndex()
        # As loadRes would, which however refuses an empty list.
        found.dataset = _dataset(len(truths), classes, _found_rows(detections))
        found.createIndex()
        evaluation = COCOeval(target, found, "bbox")
        evaluation.params.maxDets = [max_det]
        evaluation.evaluate()
        evaluation.accumulate()
    areas = np.concatenate([truth.areas[~truth.crowd] for truth in truths])
    low_high = dict(zip(AREAS, evaluation.params.areaRng, strict=True))
    per_class = len(AREAS) * len(truths)
    return Judgement(
        precision=evaluation.eval["precision"][..., 0],
        recall=evaluation.eval["recall"][..., 0],
        truth={n: int(((areas >= lo) & (areas <= hi)).sum()) for n, (lo, hi) in low_high.items()},
        matches=[
            # evalImgs goes by class, then area, then image; the first area is all.
            _matches(evaluation.evalImgs[start : start + len(truths)], target, found)
            for start in range(0, classes * per_class, per_class)
        ],
    )


def _matches(results: Sequence[Any], truth: Any, found: Any) -> Matches:
    scores: list[float] = []
    hits: list[bool] = []
    places: list[tuple[int, int]] = []
    hit_by: dict[tuple[int, int], float] = {}
    for image, result in enumerate(results):
        if result is None:
            continue
        counted = ~np.asarray(result["dtIgnore"][0], dtype=bool)
        hit = np.asarray(result["dtMatches"][0]) > 0
        for column in np.flatnonzero(counted).tolist():
            scores.append(result["dtScores"][column])
            hits.append(bool(hit[column]))
            places.append((image, found.anns[result["dtIds"][column]]["row"]))
        for column, ignored in enumerate(result["gtIgnore"]):
            if not ignored:
                by = int(result["gtMatches"][0][column])
                place = (image, truth.anns[result["gtIds"][column]]["row"])
                hit_by[place] = found.anns[by]["score"] if by else 0.0
    order = np.argsort(-np.array(scores), kind="mergesort")
    at = np.array(places, dtype=np.int64).reshape(-1, 2)[order]
    return Matches(
        truth=len(hit_by),
        scores=np.array(scores, dtype=np.float64)[order],
        hits=np.array(hits, dtype=np.bool_)[order],
        images=at[:, 0],
        rows=at[:, 1],
        hit_by=hit_by,
    )


def _dataset(images: int, classes: int, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [{"id": index} for index in range(images)],
        "categories": [{"id": index} for index in range(classes)],
        "annotations": annotations,
    }


def _truth_rows(truths: Sequence[Truth]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, truth in enumerate(truths):
        for row, (x, y, right, low) in enumerate(truth.boxes.tolist()):
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "row": row,
                    "category_id": int(truth.class_ids[row]),
                    "bbox": [x, y, right - x, low - y],
                    "area": float(truth.areas[row]),
                    "iscrowd": int(truth.crowd[row]),
                }
            )
    return rows


def _found_rows(detections: Sequence[Detections]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, found in enumerate(detections):
        for row, (x, y, right, low) in enumerate(found.boxes.tolist()):
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "row": row,
                    "category_id": int(found.class_ids[row]),
                    "bbox": [x, y, right - x, low - y],
                    "area": (right - x) * (low - y),
                    "iscrowd": 0,
                    "score": float(found.scores[row]),
                }
            )
    return rows
