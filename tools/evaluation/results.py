"""The figures of one run, as they stand in ``results.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import EvaluationError

FILE_NAME = "results.json"


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Operating(_Figures):
    """What users get at one confidence, by detections that hit an object at IoU 0.5 or do not."""

    conf: float
    precision: float
    """Mean of the classes with objects; so are the next two."""
    recall: float
    f1: float
    hits: int
    false: int
    missed: int
    false_on_empty: int
    """Detections on images without objects."""
    empty_with_false: int
    """How many of these images have one."""


class ClassFigures(_Figures):
    """Of one class; None where the data has no object of it."""

    name: str
    objects: int
    ap50_95: float | None
    ap50: float | None
    precision: float | None
    """At the run's best confidence; so are the next two."""
    recall: float | None
    f1: float | None
    best_conf: float | None
    """Where this class alone has its highest F1."""
    precision_by_recall: list[float]
    """At IoU 0.5 and 101 recalls from 0 to 1."""
    f1_by_conf: list[float]
    """At 101 confidences from 0 to 1."""


class SizeFigures(_Figures):
    """Of the objects of one of COCO's size buckets."""

    name: str
    objects: int
    ap50_95: float | None
    recall: float | None
    """COCO's average recall, over the IoUs."""


class Latency(_Figures):
    """Client round trip in ms: reading, decoding, resizing, request and answer."""

    p50: float
    p90: float
    p99: float
    max: float
    in_flight: int
    """How many images were under way at a time."""


class Results(_Figures):
    """One run of one model on one split."""

    tridet_evaluation: Literal[1] = 1
    name: str
    model: str
    precision: str
    build: dict[str, Any]
    thresholds: dict[str, Any]
    transport: str
    dataset: str
    split: str
    date: str
    images: int
    empty_images: int
    objects: int
    map50_95: float | None
    map50: float | None
    map75: float | None
    best: Operating
    served: Operating
    """At the model's default confidence."""
    classes: list[ClassFigures]
    sizes: list[SizeFigures]
    confusion_labels: list[str]
    confusion: list[list[int]]
    """True by found, at the model's default confidence; background last."""
    latency_ms: Latency


def read_results(path: Path) -> Results:
    """Read the results of an earlier run from its folder, or from the file itself.

    Raises:
        EvaluationError: there are none.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{file}: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise EvaluationError(
            f"{file}: expected results of tools/evaluate.py: {where}: {first['msg']}"
        ) from None
