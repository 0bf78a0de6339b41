"""Decode an image file's bytes to BGR pixels, the same way in the client and in the server.

``tridet-build`` places this file beside the server's preprocess step, so that EXIF orientation, the
accepted formats and the pixel limit are one piece of code on both ends of the wire.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

UInt8Array = npt.NDArray[np.uint8]

_ORIENTATION_TAG = 0x0112
_BITS_TAG = 0x0102  # of TIFF: bits a sample
# What OpenCV decodes, several times faster. The rest is left to Pillow, which has read the header:
# what another decoder takes for the size may be another one.
_BY_OPENCV = ("JPEG", "MPO", "PNG", "WEBP", "BMP")
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


class _PillowsLimit:
    """Pillow's own limit of pixels, raised where it is below ours for as long as a file is read.

    It is one for the whole process, whose other images it goes on to protect.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._files = 0
        self._before: int | None = None

    @contextmanager
    def raised_to(self, pixels: int) -> Iterator[None]:
        with self._lock:
            if self._files == 0:
                self._before = Image.MAX_IMAGE_PIXELS
            before = self._before
            raised = before is not None and before < pixels
            if raised:
                self._files += 1
                Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or pixels, pixels)
        try:
            yield
        finally:
            if raised:
                with self._lock:
                    self._files -= 1
                    if self._files == 0:
                        Image.MAX_IMAGE_PIXELS = before


_pillows_limit = _PillowsLimit()


class Header(NamedTuple):
    """What an image file says of itself before its pixels are decoded."""

    width: int
    """Of the upright image, in pixels."""
    height: int
    """Of the upright image, in pixels."""
    orientation: int
    """EXIF orientation of the stored rows, 1 to 8; 1 is upright."""
    format: str
    """Pillow's name of the file's format."""


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
    with _opened(data, formats, max_pixels) as image:
        return _header_of(image, max_pixels)


def decode(data: bytes, *, formats: tuple[str, ...], max_pixels: int) -> UInt8Array:
    """Decode one image file; the arguments are those of ``read_header``.

    Returns:
        uint8 [h, w, 3], BGR, upright (EXIF orientation applied), alpha dropped, 8 bits a sample.

    Raises:
        ImageError: unknown format, over ``max_pixels``, or damaged.
    """
    with _opened(data, formats, max_pixels) as image:
        header = _header_of(image, max_pixels)
        stored = None if header.format in _BY_OPENCV else pixels_from_pillow(image)
    if stored is None:
        stored = _by_opencv(data, header)
    # Applied here for every format; OpenCV would do it for some of them only.
    upright = _UPRIGHT.get(header.orientation)
    return np.ascontiguousarray(upright(stored) if upright else stored, dtype=np.uint8)


def pixels_from_pillow(image: Image.Image) -> UInt8Array:
    """Return uint8 [h, w, 3] BGR of an image that Pillow holds in any mode, alpha dropped.

    Of 16 bits a sample the upper 8 are taken, as OpenCV does.

    Raises:
        ImageError: damaged, or its samples are of another kind: 32 bits, floating point.
    """
    try:
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
            bits = int(getattr(image, "tag_v2", {}).get(_BITS_TAG, (16,))[0])
            grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.mode in ("I", "F"):
            kind = "32 bits" if image.mode == "I" else "floating point"
            raise ImageError(f"expected 8 or 16 bits a sample, got {kind}")
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise ImageError(f"damaged image: {' '.join(str(error).split())}") from None


@contextmanager
def _opened(data: bytes, formats: tuple[str, ...], max_pixels: int) -> Iterator[Image.Image]:
    """Let Pillow read the header of a file; what it does in the block has our limit of pixels."""
    if not data:
        raise ImageError("the image is empty: expected a file's bytes, got 0 bytes")
    Image.init()
    known = [name for name in formats if name in Image.OPEN]
    with _pillows_limit.raised_to(max_pixels):
        try:
            image = Image.open(io.BytesIO(data), formats=known)
        except UnidentifiedImageError:
            raise ImageError(
                f"not an image: expected {', '.join(known)}, got {len(data)} bytes "
                f"that begin with {data[:8]!r}"
            ) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"over the limit of {max_pixels} pixels: {error}") from None
        except Exception as error:  # Pillow's plugins raise many types on damaged headers
            raise ImageError(f"damaged image header: {error}") from None
        with image:
            yield image


def _header_of(image: Image.Image, max_pixels: int) -> Header:
    width, height = image.size
    check_pixels(width, height, max_pixels)
    orientation = _orientation(image.info.get("exif", b""))
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Header(width, height, orientation, str(image.format))


def _by_opencv(data: bytes, header: Header) -> UInt8Array:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"damaged image: {error.err}") from None
    if pixels is None:
        raise ImageError(
            f"damaged or truncated image of {header.width} x {header.height} ({len(data)} bytes)"
        )
    return np.asarray(pixels, dtype=np.uint8)


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
