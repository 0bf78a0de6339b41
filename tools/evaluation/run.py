"""Ask the server for every image: what is measured is what users get."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tridet import Detections, Detector, ModelInfo, Transport

from .errors import EvaluationError
from .predictions import Prediction, PredictionStore, key_of


@dataclass(frozen=True)
class Request:
    """How images are sent: to have the whole curve, not to serve users."""

    conf: float = 0.001
    iou: float | None = None
    """None for the model's own."""
    max_det: int = 300
    imgsz: int | None = None
    """None for the model's own."""
    transport: Transport = "auto"

    def thresholds(self, info: ModelInfo, classes: Sequence[int]) -> dict[str, Any]:
        """Return the request parameters; only the classes that the data set has labels for."""
        iou = info.defaults.get("iou") if self.iou is None else self.iou
        wished = {"conf": self.conf, "iou": iou, "max_det": self.max_det, "imgsz": self.imgsz}
        chosen = {name: value for name, value in wished.items() if value is not None}
        if len(classes) < len(info.labels):
            chosen["classes"] = list(classes)
        return chosen


def settings_of(
    info: ModelInfo, steps: dict[str, Any], thresholds: dict[str, Any], transport: str
) -> dict[str, Any]:
    """Return what predictions hold for: another build or parameter means other predictions."""
    return {
        "model": info.name,
        "build": info.build,
        "steps": steps,
        "precision": info.precision,
        "labels": info.labels,
        "input_size": info.input_size,
        "thresholds": thresholds,
        "transport": transport,
    }


def predict(
    detector: Detector,
    images: Sequence[Path],
    settings: dict[str, Any],
    file: Path,
    *,
    in_flight: int,
    progress: Callable[[int, int], None],
) -> list[Prediction]:
    """Return the prediction of each image, asking the server for those that are not in ``file``.

    Args:
        detector: connected.
        images: files; of equal ones the first is sent.
        settings: see ``settings_of``.
        file: of a ``PredictionStore``; whatever was answered stays there if the run stops.
        in_flight: how many images are under way at a time.
        progress: called with how many images are done, and how many there are.

    Raises:
        EvaluationError: an image or ``file`` cannot be read.
        TridetError: the server failed.
    """
    hashes = [_sha256(path) for path in images]
    with PredictionStore(file, key_of(settings)) as store:
        pending = {
            sha256: path
            for sha256, path in reversed(list(zip(hashes, images, strict=True)))
            if store.get(sha256) is None
        }
        done = len(images) - len(pending)
        progress(done, len(images))
        if pending:
            # Not measured: it opens the connection and whatever the server does but once.
            detector(next(iter(pending.values())), **settings["thresholds"])
        # Pairs in a fixed order: imap yields in that of its input.
        order = list(reversed(pending.items()))
        answers = detector.imap(
            [path for _, path in order], in_flight=in_flight, **settings["thresholds"]
        )
        for (sha256, path), found in zip(order, answers, strict=True):
            store.add(sha256, path.name, prediction_of(found))
            done += 1
            progress(done, len(images))
        return [prediction for sha256 in hashes if (prediction := store.get(sha256))]


def prediction_of(found: Detections) -> Prediction:
    """Return what is kept of an answer."""
    return Prediction(
        found.image_size, found.boxes, found.scores, found.class_ids, round(found.elapsed_s, 6)
    )


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from None
