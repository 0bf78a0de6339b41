"""Find pictures that stand in the data set more than once, above all in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .scan import Scan

MOST_BITS = 6
"""Perceptual hashes that differ in at most so many of their 64 bits are of one picture."""
_ROWS = 2048


@dataclass(frozen=True)
class Twin:
    """Two images, by their indices, that show the same."""

    first: int
    second: int
    bits: int
    """In how many bits the perceptual hashes differ; -1 for equal files."""

    @property
    def same_file(self) -> bool:
        """Whether the files are equal byte for byte."""
        return self.bits < 0


def twins(scans: Sequence[Scan]) -> list[Twin]:
    """Return the pairs that show the same, equal files first, then the most similar."""
    equal = list(_equal_files(scans))
    # Of equal files one stands for all: their pairs with a third say nothing new.
    once = {scan.sha256: index for index, scan in reversed(list(enumerate(scans))) if scan.size}
    similar = _similar(scans, sorted(once.values()))
    return equal + sorted(similar, key=lambda twin: (twin.bits, twin.first, twin.second))


def _equal_files(scans: Sequence[Scan]) -> Iterator[Twin]:
    by_hash: dict[str, list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        if scan.size:
            by_hash[scan.sha256].append(index)
    for indices in by_hash.values():
        for first, second in pairwise(indices):
            yield Twin(first, second, -1)


def _similar(scans: Sequence[Scan], indices: Sequence[int]) -> Iterator[Twin]:
    """Compare each with each: as a matrix product that is a second for 10,000 images."""
    if not indices:
        return
    signs = np.array([scans[index].bits for index in indices], dtype=np.float32) * 2 - 1
    for start in range(0, len(signs), _ROWS):
        # Of n bits, a product of signs is n less twice the number that differ.
        differing = (signs.shape[1] - signs[start : start + _ROWS] @ signs[start:].T) / 2
        for row, column in np.argwhere(differing <= MOST_BITS):
            if column > row:
                bits = int(differing[row, column])
                yield Twin(indices[start + row], indices[start + column], bits)
