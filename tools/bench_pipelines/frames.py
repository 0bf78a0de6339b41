"""The pictures that are sent: made here, so that a run needs no files and always sends the same."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

SIZES: dict[str, tuple[int, int]] = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
"""Name to (width, height) in pixels."""

# Different frames in turn, so that no copy of a frame finds it in the CPU's cache.
_COUNT = 3


def frames(size: str) -> list[UInt8Array]:
    """Return some frames, each uint8 [h, w, 3] BGR.

    Smooth shapes under mild sensor noise: JPEG takes as long for them as for photographs, which it
    would not for flat grey or for white noise.
    """
    width, height = SIZES[size]
    return [_frame(width, height, seed) for seed in range(_COUNT)]


def write_frames(folder: Path) -> None:
    """Write the frames of every size into ``folder``, for ``read_frames``."""
    for size in SIZES:
        np.save(folder / f"{size}.npy", np.stack(frames(size)))


def read_frames(folder: Path, size: str) -> list[UInt8Array]:
    """Return what ``frames`` gives, mapped from a file.

    Making them would leave the process's allocator with large free blocks, and with these the
    pipelines that copy megabytes run up to twice as fast as in a fresh process.
    """
    mapped = np.load(folder / f"{size}.npy", mmap_mode="c")
    return list(np.asarray(mapped, np.uint8))


def _frame(width: int, height: int, seed: int) -> UInt8Array:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (9, 16, 3), dtype=np.uint8)
    detail = rng.integers(0, 41, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.add(picture, cv2.resize(detail, (width, height), interpolation=cv2.INTER_LINEAR))
    noise = rng.integers(0, 7, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.subtract(picture, noise), np.uint8)
