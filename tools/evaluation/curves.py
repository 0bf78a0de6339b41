"""Precision, recall and F1 as functions of the confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tridet_build.datasets.evaluation import Matches

Float64Array = npt.NDArray[np.float64]
CONFS: Float64Array = np.linspace(0, 1, 1001)
"""Where the curves are sampled."""


def counts_at(matches: Matches, confs: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return how many detections of at least each confidence hit an object, and how many did not.

    A verdict does not change with the confidence: COCO lets the stronger detections choose first.
    """
    # Ascending scores, because searchsorted wants them so.
    first = np.searchsorted(matches.scores[::-1], confs, side="left")
    hits = np.concatenate([[0.0], np.cumsum(matches.hits[::-1])])
    shown, hit = len(matches.scores) - first, hits[-1] - hits[first]
    return hit, shown - hit


def precision_recall_f1(
    matches: Matches, confs: Float64Array = CONFS
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the three, each float64 of the shape of ``confs``; the class must have objects.

    Where nothing is found nothing is wrong: precision is 1 there.
    """
    hit, wrong = counts_at(matches, confs)
    shown = hit + wrong
    precision = np.divide(hit, shown, out=np.ones_like(hit), where=shown > 0)
    recall = hit / matches.truth
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(hit), where=both > 0)
    return precision, recall, f1


def best_conf(matches: Sequence[Matches]) -> float:
    """Return the confidence with the highest mean F1 of the classes; the middle of a plateau."""
    mean = np.mean([precision_recall_f1(each)[2] for each in matches if each.truth], axis=0)
    best = np.flatnonzero(mean >= mean.max() - 1e-12)
    # Of several plateaus the first: recall is higher there.
    end = np.flatnonzero(np.diff(best) > 1)
    plateau = best[: end[0] + 1] if len(end) else best
    return float(CONFS[plateau[len(plateau) // 2]])
