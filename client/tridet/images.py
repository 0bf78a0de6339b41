"""Turn what callers pass as an image into bytes or pixels, or say why that cannot be done."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from tridet.exceptions import InvalidInput
from tridet.processing import decode
from tridet.processing.contract import FORMATS

UInt8Array = npt.NDArray[np.uint8]
ImageLike: TypeAlias = "str | os.PathLike[str] | bytes | UInt8Array | PIL.Image.Image"
"""A file's path, a file's bytes, pixels, or an image of Pillow.

Pixels are uint8 [h, w, 3] in BGR order as OpenCV has them, [h, w, 4] with alpha, which is dropped,
or [h, w] grey. An array does not say its order: RGB pixels pass, and are seen in wrong colours. An
image of Pillow knows its colours and is converted, as it is: its EXIF orientation is not applied.
"""

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")
_PIXELS = "a uint8 array [height, width, 3] in BGR order"
_EXPECTED = f"expected a path, bytes, an image of Pillow or {_PIXELS}"


def source_of(image: ImageLike) -> str | None:
    """Return the path that ``image`` is, None if it is not one."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None


def bytes_of(image: str | os.PathLike[str] | bytes) -> bytes:
    """Return the file's bytes.

    Raises:
        InvalidInput: the file cannot be read, or ``image`` is neither a path nor bytes.
    """
    if isinstance(image, bytes):
        return image
    if not isinstance(image, (str, os.PathLike)):
        raise InvalidInput(f"{_EXPECTED}, got {type(image).__name__}")
    path = Path(image)
    if "://" in os.fspath(image):
        web = os.fspath(image).startswith("http")
        raise InvalidInput(
            "expected a file, got an address: "
            + ("fetch it, as by curl -s URL | tridet detect -" if web else "see tridet stream")
        )
    if path.suffix.lower() in VIDEO_SUFFIXES:
        raise InvalidInput("expected an image, got a video: see tridet stream")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read the image: {error.strerror or error}") from error


def pixels_of(image: ImageLike, max_pixels: int) -> UInt8Array:
    """Return uint8 [h, w, 3] BGR, contiguous, of a file upright; no copy of an array that is so.

    Raises:
        InvalidInput: unreadable, not an image, over ``max_pixels``, or a wrong kind of array.
    """
    if isinstance(image, np.ndarray):
        return _bgr_from_array(image)
    try:
        if isinstance(image, PIL.Image.Image):
            decode.check_pixels(*image.size, max_pixels)
            return decode.pixels_from_pillow(image)
        return decode.decode(bytes_of(image), formats=FORMATS, max_pixels=max_pixels)
    except decode.ImageError as error:
        raise InvalidInput(str(error)) from error


def size_of(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Return (width, height) of the upright image in a file's bytes, read from its header.

    Raises:
        InvalidInput: not an image, or over ``max_pixels``.
    """
    try:
        header = decode.read_header(data, formats=FORMATS, max_pixels=max_pixels)
    except decode.ImageError as error:
        raise InvalidInput(str(error)) from error
    return header.width, header.height


def pixels_to_draw_on(image: object) -> UInt8Array:
    """Return uint8 [h, w, 3] BGR of pixels or of an image of Pillow.

    Raises:
        InvalidInput: it is something else, such as a path.
    """
    if isinstance(image, (np.ndarray, PIL.Image.Image)):
        return pixels_of(image, sys.maxsize)
    raise InvalidInput(
        f"expected the pixels that were detected, {_PIXELS} as cv2.imread gives it or an image of "
        f"Pillow, got {type(image).__name__}"
    )


def _bgr_from_array(image: npt.NDArray[Any]) -> UInt8Array:
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise InvalidInput(f"{_EXPECTED}, got {image.dtype} {list(image.shape)}")
    if image.size == 0:
        raise InvalidInput(f"{_EXPECTED}, got an empty image {list(image.shape)}")
    if channels == 1:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(image[:, :, :3])
