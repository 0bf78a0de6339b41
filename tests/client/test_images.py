"""What is taken for an image, and what is refused before anything is sent."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from failures import failure
from tridet import Detector, InvalidInput


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"got uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \[4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got an empty image \[0, 4, 3\]"),
        (5, "got int"),
        (("a.jpg", "b.jpg"), "got tuple"),
        (None, "got NoneType"),
        (b"", "0 bytes"),
        (b"GIF89a", "expected JPEG, PNG, WEBP, BMP"),
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
