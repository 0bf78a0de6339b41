"""A number in a picture, as a row of black and white blocks that survives compression."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

_BITS = 12
LIMIT = 2**_BITS
"""Numbers are below this."""
# White, black, the bits, parity, white: a picture without a counter hardly looks like that.
_BLOCKS = _BITS + 4
_HEIGHT = 16  # rows of blocks that would fill a picture


def draw_counter(picture: UInt8Array, number: int) -> None:
    """Write ``number`` into the top rows of uint8 [h, w, 3]."""
    bits = [number >> place & 1 for place in reversed(range(_BITS))]
    blocks = [1, 0, *bits, sum(bits) % 2, 1]
    height, edges = _grid(picture)
    for block, start, end in zip(blocks, edges[:-1], edges[1:], strict=True):
        picture[:height, start:end] = 255 * block


def read_counter(picture: UInt8Array) -> int | None:
    """Return the number in uint8 [h, w, 3]; None if there is none, or it is damaged."""
    height, edges = _grid(picture)
    margin = height // 4
    blocks = []
    for start, end in pairwise(edges):
        side = (end - start) // 4
        level = picture[margin : height - margin, start + side : end - side].mean()
        if 96 < level < 160:
            return None
        blocks.append(int(level > 128))
    bits = blocks[2:-2]
    if [blocks[0], blocks[1], blocks[-1]] != [1, 0, 1] or sum(bits) % 2 != blocks[-2]:
        return None
    return int("".join(map(str, bits)), 2)


def _grid(picture: UInt8Array) -> tuple[int, list[int]]:
    """Return the height of the row, and where the blocks begin and the last one ends."""
    height, width = picture.shape[:2]
    return height // _HEIGHT, [round(width * place / _BLOCKS) for place in range(_BLOCKS + 1)]
