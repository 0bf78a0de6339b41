"""Real images for calibration, prepared by the very functions of the server.

What a detector's tensors hold is learnt from images as the detector will see them: decoded and
letterboxed by the client's and server's own code, then channels, scale and axes as in the front of
the serving graph. What was learnt is kept under a key of everything that it depends on.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tridet_build.datasets.images import (
    MAX_PIXELS,
    UInt8Array,
    Usable,
    letterboxed,
    shuffled,
    usable,
)
from tridet_build.errors import CalibrationError
from tridet_build.files import write_atomically

Float32Array = npt.NDArray[np.float32]

MINIMUM: Final = 32
"""Fewer usable images than this say too little of a tensor's range."""

# Raised when the same images and settings would give another content.
_CACHE_VERSION: Final = 1


class Reader:
    """Feeds the images to a calibrator, one a time, in the form that ONNX Runtime asks for.

    Args:
        images: image files that can be decoded.
        name: of the detector's input.
        input_size: S, in pixels.
        progress: called with (images done, images in all).
    """

    def __init__(
        self,
        images: Sequence[Path],
        name: str,
        input_size: int,
        *,
        max_pixels: int = MAX_PIXELS,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._images, self._name, self._size = images, name, input_size
        self._max_pixels, self._progress, self._next = max_pixels, progress, 0

    def get_next(self) -> dict[str, Float32Array] | None:
        """Return the next input, float32 [1, 3, S, S], by name, or None after the last."""
        if self._next >= len(self._images):
            return None
        found = self._load(self._next)
        self._next += 1
        if self._progress:
            self._progress(self._next, len(self._images))
        return found

    def get_first(self) -> dict[str, Float32Array]:
        """Return the first input without moving on."""
        return self._load(0)

    def rewind(self) -> None:
        """Begin anew."""
        self._next = 0

    def __len__(self) -> int:
        return len(self._images)

    def _load(self, index: int) -> dict[str, Float32Array]:
        canvas, _ = letterboxed(self._images[index].read_bytes(), self._size, self._max_pixels)
        return {self._name: planes_from_canvases(canvas[None])}


def planes_from_canvases(canvases: UInt8Array) -> Float32Array:
    """Do what the front of the serving graph does.

    Args:
        canvases: uint8 [n, S, S, 3], BGR.

    Returns:
        float32 [n, 3, S, S], RGB, 0 to 1.
    """
    rgb = canvases.astype(np.float32).transpose(0, 3, 1, 2)[:, ::-1]
    return np.ascontiguousarray(rgb / np.float32(255))


def choose(
    images: Iterable[Path],
    samples: int,
    *,
    minimum: int = MINIMUM,
    max_pixels: int = MAX_PIXELS,
) -> Usable:
    """Choose calibration images: the first ``samples`` in :func:`shuffled` order that are usable.

    Args:
        images: image files.
        samples: how many to choose; all usable ones if there are fewer.
        minimum: fewest usable images to go on with.
        max_pixels: largest accepted width times height.

    Raises:
        CalibrationError: fewer than ``minimum`` images were asked for.
        ImagesError: fewer than that are usable.
    """
    if samples < minimum:
        raise CalibrationError(f"samples: expected {minimum} or more, got {samples}")
    return usable(
        shuffled(images),
        "calibration",
        minimum=minimum,
        most=samples,
        max_pixels=max_pixels,
    )


def load_scales(folder: Path, settings: Mapping[str, object]) -> dict[str, float] | None:
    """Return the cached scale of each tensor, or None where these very settings have none.

    Args:
        folder: of the cache.
        settings: everything that the scales depend on, as JSON takes it.
    """
    path = _cache_file(folder, settings)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # none, or half of one from elsewhere: calibrate again
    if not isinstance(content, dict) or content.get("settings") != _plain(settings):
        return None
    scales = content.get("scales")
    if not isinstance(scales, dict) or not scales or not all(map(_is_scale, scales.values())):
        return None
    return {name: float(scale) for name, scale in scales.items()}


def save_scales(folder: Path, settings: Mapping[str, object], scales: Mapping[str, float]) -> Path:
    """Keep the scale of each tensor for :func:`load_scales`; return the file.

    Raises:
        CalibrationError: the folder cannot be written.
    """
    path = _cache_file(folder, settings)
    content = json.dumps({"settings": _plain(settings), "scales": dict(scales)}, indent=1)
    try:
        write_atomically(path, content.encode() + b"\n")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _cache_file(folder: Path, settings: Mapping[str, object]) -> Path:
    text = json.dumps(_plain(settings), sort_keys=True)
    return folder / f"calibration-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings as they come back from JSON, with the version of this cache."""
    plain: dict[str, object] = json.loads(json.dumps({**settings, "cache": _CACHE_VERSION}))
    return plain


def _is_scale(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0
