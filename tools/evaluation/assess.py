"""From pairs of labels and detections to figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tridet_build.datasets.evaluation import AREAS, Judgement, Matches, judge

from .confusion import confusion_matrix
from .curves import CONFS, best_conf, counts_at, precision_recall_f1
from .results import ClassFigures, Latency, Operating, SizeFigures
from .truth import Pair

_IOU50, _IOU75 = 0, 5
# Of the thousand confidences that the curves have, a report keeps every tenth.
_STEP = 10


@dataclass(frozen=True)
class Assessment:
    """The figures that pairs give; their meaning is that of the same names in ``Results``."""

    judgement: Judgement
    map50_95: float | None
    map50: float | None
    map75: float | None
    best: Operating
    served: Operating
    classes: list[ClassFigures]
    sizes: list[SizeFigures]
    confusion: list[list[int]]
    latency_ms: Latency


def assess(
    pairs: Sequence[Pair], labels: Sequence[str], *, max_det: int, conf: float, in_flight: int
) -> Assessment:
    """Judge a run.

    Args:
        pairs: one per image; at least one has an object that is no crowd.
        labels: the model's class names.
        max_det: how many detections of an image count.
        conf: the model's default confidence.
        in_flight: how many images were under way.
    """
    judgement = judge(pairs, [pair.found for pair in pairs], len(labels), max_det)
    best = best_conf(judgement.matches)
    latency_ms = [1000 * pair.found.elapsed_s for pair in pairs]
    p50, p90, p99 = np.percentile(latency_ms, (50, 90, 99), method="linear").tolist()
    return Assessment(
        judgement=judgement,
        map50_95=judgement.ap(),
        map50=judgement.ap(iou=_IOU50),
        map75=judgement.ap(iou=_IOU75),
        best=operating(pairs, judgement.matches, best),
        served=operating(pairs, judgement.matches, conf),
        classes=[_class(judgement, i, name, best) for i, name in enumerate(labels)],
        sizes=[
            SizeFigures(
                name=area,
                objects=judgement.truth[area],
                ap50_95=judgement.ap(area=area),
                recall=judgement.ar(area),
            )
            for area in AREAS[1:]
        ],
        confusion=confusion_matrix(pairs, len(labels), conf).tolist(),
        latency_ms=Latency(p50=p50, p90=p90, p99=p99, max=max(latency_ms), in_flight=in_flight),
    )


def operating(pairs: Sequence[Pair], matches: Sequence[Matches], conf: float) -> Operating:
    """Return what users get who ask for this confidence."""
    at = np.array([conf])
    known = [each for each in matches if each.truth]
    means = np.mean([precision_recall_f1(each, at) for each in known], axis=0)[:, 0]
    counts = np.sum([counts_at(each, at) for each in matches], axis=0)[:, 0].astype(int)
    empty = [int((p.found.scores >= conf).sum()) for p in pairs if not len(p.class_ids)]
    return Operating(
        conf=conf,
        precision=float(means[0]),
        recall=float(means[1]),
        f1=float(means[2]),
        hits=int(counts[0]),
        false=int(counts[1]),
        missed=sum(each.truth for each in matches) - int(counts[0]),
        false_on_empty=sum(empty),
        empty_with_false=sum(count > 0 for count in empty),
    )


def _class(judgement: Judgement, class_id: int, name: str, conf: float) -> ClassFigures:
    matches = judgement.matches[class_id]
    if not matches.truth:
        nothing = dict.fromkeys(("ap50_95", "ap50", "precision", "recall", "f1", "best_conf"), None)
        return ClassFigures(name=name, objects=0, precision_by_recall=[], f1_by_conf=[], **nothing)
    at = [float(v[0]) for v in precision_recall_f1(matches, np.array([conf]))]
    return ClassFigures(
        name=name,
        objects=matches.truth,
        ap50_95=judgement.ap(class_id=class_id),
        ap50=judgement.ap(class_id=class_id, iou=_IOU50),
        precision=at[0],
        recall=at[1],
        f1=at[2],
        best_conf=best_conf([matches]),
        precision_by_recall=[
            round(float(v), 5) for v in judgement.precision[_IOU50, :, class_id, 0]
        ],
        f1_by_conf=[round(float(v), 5) for v in precision_recall_f1(matches, CONFS[::_STEP])[2]],
    )
