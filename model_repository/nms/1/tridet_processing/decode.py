"""Decode an image file's bytes to BGR pixels, the same way in the client and in the server.

``tridet-build`` places this file beside the server's preprocess step, so that EXIF orientation, the
accepted formats and the pixel limit are one piece of code on both ends of the wire.
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

UInt8Array = npt.NDArray[np.uint8]

_ORIENTATION_TAG = 0x0112
# EXIF 2.32, tag Orientation: what turns the stored rows into the upright image; 1 is upright.
_UPRIGHT: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
# Of these, the ones that swap width and height.
_SIDEWAYS = (5, 6, 7, 8)


class ImageError(ValueError):
    """The bytes are not an image that can be accepted; the text says why, in one line."""


class Header(NamedTuple):
    """What an image file says of itself before its pixels are decoded."""

    width: int
    """Of the upright image, in pixels."""
    height: int
    """Of the upright image, in pixels."""
    orientation: int
    """EXIF orientation of the stored rows, 1 to 8; 1 is upright."""


def read_header(data: bytes, *, formats: tuple[str, ...], max_pixels: int) -> Header:
    """Read the size and the orientation of one image file, and nothing else of it.

    Args:
        data: the file's bytes.
        formats: accepted formats by their Pillow names, ``contract.FORMATS``.
        max_pixels: largest accepted width times height, so that a small file that unpacks to
            gigabytes is refused before any pixel is decoded.

    Raises:
        ImageError: unknown format, over ``max_pixels``, or a damaged header.
    """
    if not data:
        raise ImageError("the image is empty: expected a file's bytes, got 0 bytes")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as header:
            width, height = header.size
            orientation = _orientation(header.info.get("exif", b""))
    except UnidentifiedImageError:
        raise ImageError(
            f"not an image: expected {', '.join(formats)}, got {len(data)} bytes "
            f"that begin with {data[:8]!r}"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"over the limit of {max_pixels} pixels: {error}") from None
    except Exception as error:  # Pillow's plugins raise many types on damaged headers
        raise ImageError(f"damaged image header: {error}") from None
    check_pixels(width, height, max_pixels)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Header(width, height, orientation)


def decode(data: bytes, *, formats: tuple[str, ...], max_pixels: int) -> UInt8Array:
    """Decode one image file; the arguments are those of ``read_header``.

    Returns:
        uint8 [h, w, 3], BGR, upright (EXIF orientation applied), alpha dropped, 8 bits a sample.

    Raises:
        ImageError: unknown format, over ``max_pixels``, or damaged.
    """
    # Pillow reads the header only; OpenCV, several times faster, then decodes the pixels.
    header = read_header(data, formats=formats, max_pixels=max_pixels)
    # Orientation is applied below for every format; OpenCV would do it for some of them only.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"damaged image: {error.err}") from None
    if pixels is None:
        raise ImageError(
            f"damaged or truncated image of {header.width} x {header.height} ({len(data)} bytes)"
        )
    stored = np.asarray(pixels, dtype=np.uint8)
    upright = _UPRIGHT.get(header.orientation)
    return np.ascontiguousarray(upright(stored) if upright else stored, dtype=np.uint8)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError for an image (sides in pixels) that is empty or over ``max_pixels``."""
    if width * height == 0:
        raise ImageError(f"the image is empty: expected pixels, got {width} x {height}")
    if width * height > max_pixels:
        raise ImageError(
            f"over the pixel limit: expected at most {max_pixels} pixels, "
            f"got {width} x {height} = {width * height}"
        )


def _orientation(exif: bytes) -> int:
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        return int(tags.get(_ORIENTATION_TAG, 1))
    except Exception:  # an unreadable EXIF block costs the orientation, not the image
        return 1
