"""One board from one seed."""

from __future__ import annotations

import numpy as np

from .copper import rasterise
from .defects import DefectPlacer
from .layout import make_layout
from .look import random_look
from .render import camera, paint, photograph, smooth_noise
from .types import UNITS_ON_LONG_SIDE, Board

_ASPECTS = (1.0, 1.25, 4 / 3, 1.5, 16 / 9)


def draw_board(
    seed: int,
    *,
    defects: bool = True,
    size: tuple[int, int] | None = None,
    mask_color: str | None = None,
    clean: bool = False,
) -> Board:
    """Draw the board of this seed; the same arguments give the same bytes.

    Another release of OpenCV or NumPy draws the same board with some pixels rounded differently,
    which may move a defect: annotations belong to the images they were written with.
    size: (width, height) of the image in px, chosen by the seed if None. Geometry, look, defects
    and sensor noise have random streams of their own, so `defects=False` gives the same board
    without them. clean=True leaves out blur and noise.
    """
    streams = np.random.SeedSequence(seed).spawn(4)
    layout_rng, look_rng, defect_rng, noise_rng = (
        np.random.Generator(np.random.PCG64(stream)) for stream in streams
    )
    look = random_look(look_rng, mask_color)
    chosen = _random_size(look_rng)
    width, height = size or chosen
    scale = max(width, height) / UNITS_ON_LONG_SIDE
    fill = look_rng.uniform(0.84, 0.96) if look.full_board else 1.14
    layout = make_layout(layout_rng, width / scale * fill, height / scale * fill)
    if look.laminate.mean() < 60:
        layout.tented_vias = (
            False  # a dark hole in a dark mask would make vias look like loose ends
        )
    layers = rasterise(layout, scale)
    rows, cols = layers.copper.shape
    matrix = camera(look, (cols, rows), (width, height))
    texture = 1 + smooth_noise(look_rng, (rows, cols), 30 * scale, 0.016)
    texture += smooth_noise(look_rng, (rows, cols), 2.2 * scale, 0.014)
    placed = []
    if defects:
        placer = DefectPlacer(defect_rng, layout, layers, matrix, (width, height))
        placed = placer.place(int(defect_rng.integers(3, 9)))
    image = photograph(
        paint(layers, look, texture), look, matrix, (width, height), noise_rng, clean
    )
    return Board(seed, image, tuple(placed), look.mask_color, look.jpeg_quality)


def _random_size(rng: np.random.Generator) -> tuple[int, int]:
    """Image width and height in px: 640 to 2000 wide, sometimes upright."""
    long_side = int(np.exp(rng.uniform(np.log(640), np.log(2000))))
    aspect = float(rng.choice(_ASPECTS)) * float(rng.uniform(0.94, 1.06))
    short_side = round(long_side / max(aspect, 1.0))
    if rng.random() < 0.2 and short_side >= 640:
        return short_side, long_side
    return long_side, short_side
