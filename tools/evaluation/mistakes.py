"""Which images, and which boxes of them, were judged wrong at one confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from supervision import box_iou_batch
from tridet_build.datasets.evaluation import Matches

from .truth import Pair

_IOU = 0.5


@dataclass(frozen=True)
class Mark:
    """One box of one image and its verdict."""

    verdict: Literal["hit", "false", "missed"]
    class_id: int
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels."""
    score: float
    """Of the detection; 0 for a missed object."""

    @property
    def weight(self) -> float:
        """How bad it is: a miss counts 1, a false box as much as the detector was sure of it."""
        return {"hit": 0.0, "false": self.score, "missed": 1.0}[self.verdict]

    def overlaps(self, other: Mark) -> bool:
        """Whether the two boxes have an IoU of 0.5 or more."""
        ours, theirs = np.array([self.corners]), np.array([other.corners])
        return bool(box_iou_batch(ours, theirs)[0, 0] >= _IOU)


@dataclass
class Marked:
    """An image with its verdicts."""

    pair: Pair
    marks: list[Mark] = field(default_factory=list)

    @property
    def weight(self) -> float:
        """How bad the image is."""
        return sum(mark.weight for mark in self.marks)

    def count(self, verdict: str) -> int:
        """Return how many marks have this verdict."""
        return sum(mark.verdict == verdict for mark in self.marks)


def marked_images(pairs: Sequence[Pair], matches: Sequence[Matches], conf: float) -> list[Marked]:
    """Return every image with its hits, false boxes and misses at ``conf``; the worst first."""
    images = [Marked(pair) for pair in pairs]
    for class_id, each in enumerate(matches):
        shown = each.scores >= conf
        for image, row, hit, score in zip(
            each.images[shown],
            each.rows[shown],
            each.hits[shown],
            each.scores[shown],
            strict=True,
        ):
            corners = pairs[image].found.boxes[row].tolist()
            verdict: Literal["hit", "false"] = "hit" if hit else "false"
            images[image].marks.append(Mark(verdict, class_id, tuple(corners), float(score)))
        for (image, row), score in each.hit_by.items():
            if not score or score < conf:
                corners = pairs[image].boxes[row].tolist()
                images[image].marks.append(Mark("missed", class_id, tuple(corners), 0.0))
    return sorted(images, key=lambda marked: (-marked.weight, str(marked.pair.path)))
