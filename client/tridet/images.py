"""Turn what callers pass as an image into bytes or pixels, or say why that cannot be done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tridet.exceptions import InvalidInput
from tridet.processing import decode
from tridet.processing.contract import FORMATS

UInt8Array = npt.NDArray[np.uint8]
ImageLike: TypeAlias = "str | os.PathLike[str] | bytes | UInt8Array"
"""A file's path, a file's bytes, or uint8 [h, w, 3] BGR pixels."""

_EXPECTED = "expected a path, bytes or a uint8 array [height, width, 3] in BGR order"


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
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read the image: {error.strerror or error}") from error


def pixels_of(image: ImageLike, max_pixels: int) -> UInt8Array:
    """Return uint8 [h, w, 3] BGR, upright and contiguous; an array is checked but not copied.

    Raises:
        InvalidInput: unreadable, not an image, over ``max_pixels``, or a wrong kind of array.
    """
    if isinstance(image, np.ndarray):
        check_pixels(image)
        return np.ascontiguousarray(image)
    try:
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


def check_pixels(image: object) -> None:
    """Raise InvalidInput unless ``image`` is a non-empty uint8 [h, w, 3] array."""
    if not isinstance(image, np.ndarray):
        raise InvalidInput(f"{_EXPECTED}, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InvalidInput(f"{_EXPECTED}, got {image.dtype} {list(image.shape)}")
    if image.size == 0:
        raise InvalidInput(f"{_EXPECTED}, got an empty image {list(image.shape)}")
