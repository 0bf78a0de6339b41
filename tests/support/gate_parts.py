"""A stub detector's settings, and runs made up for it."""

from pathlib import Path

import numpy as np
from tridet.processing.parameters import NmsParameters
from tridet_build.gate.detections import Found, Settings

SETTINGS = Settings(
    64, ("c0", "c1", "c2"), 40, NmsParameters(conf=0.1, iou=0.7, max_det=20, agnostic=False)
)


def found(
    *rows: tuple[float, float, float, float, float, int],
    image: Path = Path("a.png"),
    size: tuple[int, int] = (100, 80),
) -> Found:
    """Rows of x1, y1, x2, y2, score, class id."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(image, size, table[:, :4], table[:, 4], table[:, 5].astype(np.int32))
