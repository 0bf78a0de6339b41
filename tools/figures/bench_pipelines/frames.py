"""The pictures that are sent: made here, so that a run needs no files and always sends the same."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from tridet_bench.frames import synthetic_frame

UInt8Array = npt.NDArray[np.uint8]

SIZES: dict[str, tuple[int, int]] = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
"""Name to (width, height) in pixels."""

# Different frames in turn, so that no copy of a frame finds it in the CPU's cache.
_COUNT = 3


def frames(size: str) -> list[UInt8Array]:
    """Return some frames, each uint8 [h, w, 3] BGR."""
    width, height = SIZES[size]
    return [synthetic_frame(width, height, seed) for seed in range(_COUNT)]


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
