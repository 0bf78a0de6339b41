import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from tridet.processing.contract import FORMATS
from tridet.processing.decode import ImageError, decode

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes, max_pixels: int = 10_000) -> np.ndarray:
    return decode(data, formats=FORMATS, max_pixels=max_pixels)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_lossless_formats_give_bgr(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decoded(encoded(kind, **options)), PIXELS[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_in_every_format(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[..., ::-1]
    got = decoded(data)
    assert got.shape == want.shape
    # Two JPEG decoders may round a colour differently; a missed rotation is off by far more.
    assert np.abs(got.astype(int) - want).mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "LA"])
def test_other_pixel_types_become_three_channels(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    got = decoded(encoded("PNG", image))
    assert (got.shape, got.dtype) == ((40, 70, 3), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_truncated_file_is_refused(kind: str, kept: float) -> None:
    data = encoded(kind)
    with pytest.raises(ImageError):
        decoded(data[: int(len(data) * kept)])


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"GIF89a" + b"\0" * 50, b"<svg/>"])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"expected"):
        decoded(data)


def test_bomb_is_refused_from_its_header() -> None:
    # A 200 kB PNG that claims 60,000 x 60,000: decoding it would take 10 GB.
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (200, 9_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"\0" * 9)
        with pytest.raises(ImageError, match="limit"):
            decoded(data)


def test_pixel_limit_is_inclusive() -> None:
    data = encoded("PNG")
    assert decoded(data, max_pixels=2800).shape == (40, 70, 3)
    with pytest.raises(ImageError, match="at most 2799 pixels, got 70 x 40 = 2800"):
        decoded(data, max_pixels=2799)
