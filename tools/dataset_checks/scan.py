"""Decode every image once, on all cores: its size, its hashes, and whether it can be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tridet.processing.contract import FORMATS
from tridet.processing.decode import ImageError, decode

MAX_PIXELS = 500_000_000
"""Larger pictures are taken for decompression bombs."""
_HASH_SIDE = 8
_HASHED_SIDE = 32
# So that one message to a process is worth its price.
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class Scan:
    """What one image file holds."""

    size: tuple[int, int] | None
    """(width, height) upright, in pixels; None where it cannot be read."""
    error: str
    """Why not."""
    sha256: str
    bits: npt.NDArray[np.bool_]
    """bool [64]: perceptual hash; see ``perceptual_hash``."""


def scan(
    images: Sequence[Path], progress: Callable[[int, int], None], workers: int | None = None
) -> list[Scan]:
    """Return what each image holds.

    Args:
        images: files.
        progress: called with how many are done, and how many there are.
        workers: processes; None for one per core.
    """
    scans: list[Scan] = []
    # Not forked: OpenCV and matplotlib have threads.
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, get_context("spawn"), _one_thread)
    try:
        for done in pool.map(scan_image, images, chunksize=_CHUNK):
            scans.append(done)
            progress(len(scans), len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return scans


def _one_thread() -> None:
    cv2.setNumThreads(1)


def scan_image(path: Path) -> Scan:
    """Read one image as the server would."""
    unknown = partial(Scan, None, bits=np.zeros(_HASH_SIDE**2, np.bool_))
    try:
        data = path.read_bytes()
    except OSError as error:
        return unknown(error=error.strerror or str(error), sha256="")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels = decode(data, formats=FORMATS, max_pixels=MAX_PIXELS)
    except ImageError as error:
        return unknown(error=str(error), sha256=sha256)
    size = (pixels.shape[1], pixels.shape[0])
    return Scan(size, "", sha256, perceptual_hash(pixels))


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return bool [64] of uint8 [h, w, 3]: equal pictures differ in few bits, whatever their size.

    The DCT hash (pHash): the 8 x 8 lowest frequencies of a 32 x 32 grey picture, above their median
    or not. Half the bits differ between two pictures that have nothing to do with each other.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_HASHED_SIDE, _HASHED_SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:_HASH_SIDE, :_HASH_SIDE].ravel()
    # Without the first, which is the brightness.
    above: npt.NDArray[np.bool_] = low > np.median(low[1:])
    return above
