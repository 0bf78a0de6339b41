"""What is taken for an image, and what is refused before anything is sent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from failures import failure
from fake_triton import picture
from PIL import Image
from tridet import Detector, InvalidInput


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"got uint8 \[4, 4, 2\]"),
        (np.zeros(4, np.uint8), r"got uint8 \[4\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got uint8 \[1, 4, 4, 3\]"),
        (np.zeros((4, 4), np.uint16), r"got uint16 \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got an empty image \[0, 4, 3\]"),
        (5, "got int"),
        (("a.jpg", "b.jpg"), "got tuple"),
        (None, "got NoneType"),
        (b"", "0 bytes"),
        (b"GIF89a", "expected JPEG, PNG, WEBP, BMP"),
        (Image.new("F", (4, 4)), "8 or 16 bits a sample, got floating point"),
        (Image.new("RGB", (2001, 2000)), "over the pixel limit"),
        ("board.mp4", "expected an image, got a video: see tridet stream"),
        ("https://example.org/a.jpg", "expected a file, got an address: fetch it"),
        ("rtsp://cam/1", "expected a file, got an address: see tridet stream"),
    ],
)
@pytest.mark.parametrize("transport", ["auto", "encoded"])
def test_bad_images_never_reach_the_server(fake, image, text, transport):
    with (
        Detector(fake.url, "pcb", transport=transport) as detector,
        pytest.raises(InvalidInput, match=text),
    ):
        detector(image)
    assert not fake.requests


def test_the_path_is_in_the_message(fake, tmp_path):
    missing = tmp_path / "board.jpg"
    assert str(failure(fake, missing)).startswith(f"{missing}: cannot read the image: No such file")
    missing.write_bytes(b"text")
    assert str(failure(fake, missing)).startswith(f"{missing}: not an image")


def test_too_many_pixels(fake, tmp_path):
    path = tmp_path / "bomb.png"
    cv2.imwrite(str(path), np.zeros((2001, 2000, 3), np.uint8))
    for transport in ("auto", "encoded"):
        assert "over the pixel limit" in str(failure(fake, path, transport=transport))


BGR = picture(100, 80)
GREY = BGR.max(axis=2)


@pytest.mark.parametrize("transport", ["auto", "raw", "encoded"])
@pytest.mark.parametrize(
    "image",
    [
        np.dstack([BGR, np.zeros(BGR.shape[:2], np.uint8)]),
        Image.fromarray(BGR[..., ::-1]),
        Image.fromarray(np.dstack([BGR[..., ::-1], GREY])),
        Image.fromarray(BGR[..., ::-1]).quantize(),
    ],
    ids=["BGRA", "Pillow RGB", "Pillow RGBA", "Pillow palette"],
)
def test_whatever_holds_the_same_colours_is_detected_alike(fake, image, transport):
    with Detector(fake.url, "pcb", transport=transport) as detector:
        found = detector(image)
        assert (found.names, found.image_size) == (("blue", "red"), (100, 80))
        np.testing.assert_allclose(found.boxes, detector(BGR).boxes, atol=1)
        assert found.annotate(image).shape == (80, 100, 3)


@pytest.mark.parametrize("image", [GREY, GREY[..., None], Image.fromarray(GREY)])
def test_grey_is_bright_in_every_colour(fake, image):
    with Detector(fake.url, "pcb") as detector:
        assert detector(image).names == ("blue", "green", "red")
        assert detector(image, tiles="2x1").image_size == (100, 80)


def test_an_array_in_rgb_order_is_taken_for_bgr(fake):
    with Detector(fake.url, "pcb") as detector:
        boxes = {found.name: found.box for found in detector(BGR)}
        swapped = {found.name: found.box for found in detector(BGR[..., ::-1])}
    assert (swapped["red"], swapped["blue"]) == (boxes["blue"], boxes["red"])
