"""What a detector said of each image, kept on disk so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EvaluationError


@dataclass(frozen=True, eq=False)
class Prediction:
    """The n detections of one image, strongest first, in pixels of the image."""

    size: tuple[int, int]
    """(width, height) of the image."""
    boxes: npt.NDArray[np.float32]
    """float32 [n, 4]: x1, y1, x2, y2."""
    scores: npt.NDArray[np.float32]
    """float32 [n]."""
    class_ids: npt.NDArray[np.int32]
    """int32 [n]: of the model."""
    elapsed_s: float
    """From the call to the result, as the client saw it."""


def key_of(settings: Mapping[str, Any]) -> str:
    """Return a short name of what predictions hold for: a model's build and the parameters."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class PredictionStore:
    """A JSON-lines file of predictions, an image a line, by the image file's SHA-256.

    Lines of other models or parameters are left alone. A line that was cut off, by a crash or a
    full disk, is removed.

    Args:
        path: the file; made if it is missing.
        key: see ``key_of``.

    Raises:
        EvaluationError: the file is none of that kind, or cannot be written.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._found: dict[str, Prediction] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.is_file() else b""
            whole = content[: content.rfind(b"\n") + 1]
            for number, line in enumerate(whole.splitlines(), start=1):
                self._read(number, line)
            self._file = path.open("r+b" if path.is_file() else "wb")
            self._file.seek(len(whole))
            self._file.truncate()
        except OSError as error:
            raise EvaluationError(f"{path}: {error.strerror or error}") from None

    def _read(self, number: int, line: bytes) -> None:
        try:
            row = json.loads(line)
            if row["key"] == self._key:
                boxes = np.array(row["boxes"], dtype=np.float32).reshape(-1, 4)
                self._found[row["sha256"]] = Prediction(
                    (int(row["size"][0]), int(row["size"][1])),
                    boxes,
                    np.array(row["scores"], dtype=np.float32).reshape(len(boxes)),
                    np.array(row["class_ids"], dtype=np.int32).reshape(len(boxes)),
                    float(row["elapsed_s"]),
                )
        except (ValueError, KeyError, TypeError, IndexError):
            raise EvaluationError(
                f"{self._path}: line {number}: expected a prediction, got {line[:40]!r}; "
                "delete the file or choose another --out"
            ) from None

    def get(self, sha256: str) -> Prediction | None:
        """Return what is known of the image with this SHA-256."""
        return self._found.get(sha256)

    def add(self, sha256: str, image: str, prediction: Prediction) -> None:
        """Keep a prediction; ``image`` is the file's name, for people who read the file."""
        row = {
            "key": self._key,
            "sha256": sha256,
            "image": image,
            "size": prediction.size,
            "elapsed_s": round(prediction.elapsed_s, 6),
            # Enough digits to read the same float32 back.
            "boxes": [[float(f"{v:.9g}") for v in box] for box in prediction.boxes],
            "scores": [float(f"{v:.9g}") for v in prediction.scores],
            "class_ids": prediction.class_ids.tolist(),
        }
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        self._found[sha256] = prediction

    def __enter__(self) -> PredictionStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
