import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_lossless_formats_give_bgr(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decoded(encoded(kind, **options)), PIXELS[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
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


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_truncated_file_is_refused(kind: str, kept: float) -> None:
    data = encoded(kind)
    with pytest.raises(ImageError):
        decoded(data[: int(len(data) * kept)])


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"%PDF-1.7" + b"\0" * 50, b"<svg/>"])
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


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_lossy_formats_have_the_colours_in_bgr_order(kind: str) -> None:
    blue = np.zeros_like(PIXELS)
    blue[..., 2] = 255
    got = decoded(encoded(kind, Image.fromarray(blue))).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(got, [255, 0, 0], atol=4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_of_16_bits_the_upper_8_are_taken(kind: str) -> None:
    grey = PIXELS[..., 0].astype(np.uint16) * 257
    got = decoded(encoded(kind, Image.fromarray(grey)))
    np.testing.assert_array_equal(got, np.repeat(PIXELS[..., :1], 3, axis=2))


def test_the_first_page_counts() -> None:
    first = Image.fromarray(PIXELS)
    second = Image.new("RGB", (9, 9))
    for kind in ("TIFF", "GIF"):
        data = encoded(kind, first, save_all=True, append_images=[second.resize(first.size)])
        assert np.abs(decoded(data).astype(int) - PIXELS[..., ::-1]).mean() < 20


@pytest.mark.parametrize(("mode", "kind"), [("F", "floating point"), ("I", "32 bits")])
def test_samples_without_a_known_range_are_refused(mode: str, kind: str) -> None:
    with pytest.raises(ImageError, match=f"expected 8 or 16 bits a sample, got {kind}"):
        decoded(encoded("TIFF", Image.new(mode, (9, 9))))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixel_limit_holds_for_every_format(kind: str) -> None:
    with pytest.raises(ImageError, match="at most 2799 pixels, got 70 x 40 = 2800"):
        decoded(encoded(kind), max_pixels=2799)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("error")
def test_the_limit_is_ours_and_not_pillows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decoded(data).shape == (40, 70, 3)


def test_a_format_whose_decoder_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("TIFF")
    monkeypatch.delitem(Image.OPEN, "TIFF")
    with pytest.raises(ImageError, match="not an image: expected JPEG"):
        decoded(data)


def test_pillows_limit_is_raised_for_all_who_read_and_then_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded("TIFF")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with ThreadPoolExecutor(8) as pool:
        shapes = set(pool.map(lambda _: decoded(data).shape, range(400)))
    assert shapes == {(40, 70, 3)}
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(ImageError):
        decoded(data[:40])
    assert Image.MAX_IMAGE_PIXELS == 100
