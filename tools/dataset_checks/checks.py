"""Everything that is wrong with a data set, from its labels and its scanned images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tridet_build.datasets.dataset import Dataset, Fault, LabelledImage

from .leakage import Twin, twins
from .scan import Scan
from .summary import Summary, sides_at, summarize

# The finest feature map of YOLO detectors has cells of 8 pixels.
TINY_PX = 3.0
# A class this much rarer than the most common one hardly takes part in training.
_RARE = 50


@dataclass(frozen=True)
class Checked:
    """A data set with its faults and its figures."""

    dataset: Dataset
    imgsz: int
    faults: list[Fault]
    summary: Summary
    twins: list[tuple[Twin, Path, Path]]
    """Pictures that are there twice, and their files."""
    sizes: dict[Path, tuple[int, int]]
    """(width, height) of the images that can be read."""

    def count(self, severity: str) -> int:
        """Return how many faults are of this severity."""
        return sum(fault.severity == severity for fault in self.faults)

    def kinds(self) -> list[tuple[str, str, int]]:
        """Return (severity, kind, count), errors first, then the most frequent."""
        counts = Counter((fault.severity, fault.kind) for fault in self.faults)
        return [
            (severity, kind, count)
            for (severity, kind), count in sorted(
                counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])
            )
        ]


def check(dataset: Dataset, scans: Sequence[Scan], imgsz: int) -> Checked:
    """Check a data set.

    Args:
        dataset: as it was read.
        scans: of its images, split by split in their order.
        imgsz: side of the square that images are letterboxed to, in pixels.
    """
    images = [(split.name, image) for split in dataset.splits for image in split.images]
    faults = [*dataset.faults]
    faults += [fault for split in dataset.splits for fault in split.all_faults]
    for (_, image), scan in zip(images, scans, strict=True):
        faults += _image_faults(image, scan, imgsz)
    found = twins(scans)
    faults += [_twin_fault(twin, images) for twin in found]
    summary = summarize(dataset, scans, imgsz)
    faults += _class_faults(dataset, summary)
    return Checked(
        dataset=dataset,
        imgsz=imgsz,
        faults=faults,
        summary=summary,
        twins=[(t, images[t.first][1].path, images[t.second][1].path) for t in found],
        sizes={i.path: s.size for (_, i), s in zip(images, scans, strict=True) if s.size},
    )


def _image_faults(image: LabelledImage, scan: Scan, imgsz: int) -> list[Fault]:
    if scan.size is None:
        return [Fault("error", "unreadable image", image.path, scan.error)]
    faults = []
    if image.stated_size not in (None, scan.size):
        stated = "{} x {}".format(*image.stated_size)
        text = f"expected {stated} as labelled, got {scan.size[0]} x {scan.size[1]}"
        faults.append(Fault("error", "wrong image size", image.path, text))
    smaller = sides_at(image, scan.size, imgsz).min(axis=1)
    if tiny := int(np.count_nonzero(smaller < TINY_PX)):
        text = f"{tiny} below {TINY_PX:g} px at {imgsz}, the smallest {smaller.min():.1f} px"
        faults.append(Fault("warning", "tiny box", image.path, text))
    return faults


def _twin_fault(twin: Twin, images: Sequence[tuple[str, LabelledImage]]) -> Fault:
    (split, image), (other_split, other) = images[twin.first], images[twin.second]
    what = "the same file as" if twin.same_file else "looks like"
    if split == other_split:
        text = f"{what} {other.path.name}"
        return Fault("warning", "duplicated image", image.path, text)
    text = f"{what} {other.path.name} of {other_split}"
    if twin.same_file:
        return Fault("error", "leak between splits", image.path, text)
    return Fault("warning", "possible leak between splits", image.path, text)


def _class_faults(dataset: Dataset, summary: Summary) -> list[Fault]:
    totals = np.sum([split.per_class for split in summary.splits], axis=0)
    faults = []
    for name, total in zip(dataset.names, totals.tolist(), strict=True):
        if total == 0:
            text = f"expected objects of {name}, found none"
            faults.append(Fault("warning", "class without objects", dataset.file, text))
        elif total * _RARE < totals.max():
            text = f"{name} has {total} objects, the most common class {totals.max()}"
            faults.append(Fault("warning", "rare class", dataset.file, text))
    return faults
