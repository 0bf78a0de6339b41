"""Figures of a data set: how many, of which classes, and how large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tridet_build.datasets.dataset import Dataset, LabelledImage

from .scan import Scan

# Edges of the histogram of box sides, in pixels at the input size.
EDGES = (0, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 4096)


@dataclass(frozen=True)
class SplitSummary:
    """Of one split."""

    name: str
    images: int
    empty_images: int
    """Without an object."""
    objects: int
    per_class: list[int]
    """How many objects of each class there are."""
    sizes: list[tuple[int, int, int]]
    """(width, height, how many images), the most frequent first."""


@dataclass(frozen=True)
class Summary:
    """Of a data set."""

    splits: list[SplitSummary]
    box_sides: list[int]
    """How many boxes have their shorter side between EDGES[i] and EDGES[i + 1]."""


def sides_at(image: LabelledImage, size: tuple[int, int], imgsz: int) -> npt.NDArray[np.float64]:
    """Return the boxes' (width, height), float64 [n, 2], in pixels of the letterboxed image."""
    boxes = image.boxes_in_pixels(size)
    sides: npt.NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]) * (imgsz / max(size))
    # An empty array has no smallest side.
    return sides if len(sides) else np.full((1, 2), np.inf)


def summarize(dataset: Dataset, scans: Sequence[Scan], imgsz: int) -> Summary:
    """Return the figures; images that cannot be read count, but have no size."""
    counts = np.zeros(len(EDGES) - 1, dtype=np.int64)
    splits = []
    left = iter(scans)
    for split in dataset.splits:
        per_class = np.zeros(len(dataset.names), dtype=np.int64)
        sizes: Counter[tuple[int, int]] = Counter()
        for image in split.images:
            scan = next(left)
            np.add.at(per_class, image.class_ids, 1)
            if scan.size:
                sizes[scan.size] += 1
                counts += np.histogram(sides_at(image, scan.size, imgsz).min(axis=1), EDGES)[0]
        splits.append(
            SplitSummary(
                name=split.name,
                images=len(split.images),
                empty_images=sum(not len(image.class_ids) for image in split.images),
                objects=int(per_class.sum()),
                per_class=per_class.tolist(),
                sizes=[(*size, count) for size, count in sizes.most_common()],
            )
        )
    return Summary(splits, counts.tolist())
