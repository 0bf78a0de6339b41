"""What the tests of the gate start from."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from stub_onnx import write_stub


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images" / "test"
    folder.mkdir(parents=True)
    paths = [folder / f"{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        pixels = np.full((48, 60 + index, 3), 120 + 20 * index, np.uint8)
        cv2.imwrite(str(path), pixels)
    return paths


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_stub(tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"
