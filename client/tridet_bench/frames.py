"""The pictures that are sent: made here, unless the user gives real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tridet.exceptions import InvalidInput
from tridet.images import ImageLike, UInt8Array, bytes_of, pixels_of

# Different frames in turn, so that no copy of a frame finds it in the CPU's cache.
_COUNT = 3
# Decoded frames stay in memory: 32 of 4K are 800 MB.
MOST_FILES = 32
_JPEG_QUALITY = 90
_LARGEST_SIDE = 32768


@dataclass(frozen=True, slots=True)
class Frames:
    """Which pictures are sent in turn: made ones of a size, or files."""

    label: str
    """As reports call them: ``1280x720``, or ``3 images``."""
    size: tuple[int, int] | None
    """(width, height) in pixels; None where there are files."""
    files: tuple[str, ...] = ()

    def load(self, transport: str, max_pixels: int) -> list[ImageLike]:
        """Return what a detector of that transport gets: pixels, or a file's bytes for encoded.

        Raises:
            InvalidInput: a file cannot be read or is not an image.
        """
        if self.size is None:
            return [_from_file(name, transport, max_pixels) for name in self.files]
        width, height = self.size
        made = [synthetic_frame(width, height, seed) for seed in range(_COUNT)]
        return [_jpeg(frame) for frame in made] if transport == "encoded" else list(made)


def frames_of_size(text: str) -> Frames:
    """Return made frames of ``WIDTHxHEIGHT``.

    Raises:
        InvalidInput: it is none.
    """
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidInput(f"size: expected WIDTHxHEIGHT as in 1280x720, got {text!r}")
    sides = int(width), int(height)
    if not all(16 <= side <= _LARGEST_SIDE for side in sides):
        raise InvalidInput(f"size: expected sides of 16 to {_LARGEST_SIDE} pixels, got {text!r}")
    return Frames(f"{sides[0]}x{sides[1]}", sides)


def frames_of_files(names: Sequence[str]) -> Frames:
    """Return the first MOST_FILES of these images."""
    files = tuple(names[:MOST_FILES])
    return Frames(f"{len(files)} image{'s' * (len(files) != 1)}", None, files)


def synthetic_frame(width: int, height: int, seed: int) -> UInt8Array:
    """Return uint8 [h, w, 3] BGR; sides from 16 pixels.

    Smooth shapes under mild sensor noise: JPEG takes as long for them as for photographs, which it
    would not for flat grey or for white noise.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (9, 16, 3), dtype=np.uint8)
    detail = rng.integers(0, 41, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.add(picture, cv2.resize(detail, (width, height), interpolation=cv2.INTER_LINEAR))
    noise = rng.integers(0, 7, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.subtract(picture, noise), np.uint8)


def _from_file(name: str, transport: str, max_pixels: int) -> ImageLike:
    try:
        content = bytes_of(name)
        return content if transport == "encoded" else pixels_of(content, max_pixels)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from error


def _jpeg(frame: UInt8Array) -> bytes:
    _, content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return content.tobytes()
