"""Real images, which detectors are calibrated, judged and verified on, as the server takes them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from tridet.cli.image_files import SUFFIXES, files_under, images_among
from tridet.processing import contract
from tridet.processing.decode import ImageError, decode
from tridet.processing.letterbox import letterbox

from tridet_build.errors import ImagesError

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

MAX_PIXELS: Final = 64_000_000
"""Default limit of one image, width times height; that of the manifest."""

TOOLS: Final = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "pillow",
    "numpy",
)
"""Packages whose versions decide how an image is decoded and scaled; OpenCV comes in several."""

# A note names this many images and counts the others.
_MOST_NAMED: Final = 5


@dataclass(frozen=True)
class Usable:
    """Images that can be read, and what was left out.

    Attributes:
        images: in the order they are used.
        sha256: of each image file.
        unreadable: a line for each image that was skipped on the way: its path and why.
    """

    images: tuple[Path, ...]
    sha256: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the images' own, whatever their names and order."""
        return hashlib.sha256("\n".join(sorted(self.sha256)).encode()).hexdigest()


def find_images(folder: Path) -> list[Path]:
    """Return every image file under a folder, as :func:`tridet.cli.image_files.files_under` does.

    Raises:
        ImagesError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ImagesError(f"{folder}: expected a folder of images, found none")
    images = images_among(files_under(folder))
    if not images:
        expected = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise ImagesError(f"{folder}: expected images ({expected}), found none")
    return images


def roots_of(images: Sequence[Path]) -> list[Path]:
    """Return the folders, absolute, that hold all of some images; the one nearest to them first."""
    if not images:
        return []
    nearest = Path(os.path.commonpath([image.absolute().parent for image in images]))
    return [nearest, *nearest.parents]


def shuffled(images: Iterable[Path]) -> list[Path]:
    """Order images as if by chance, but the same on every machine and in every run.

    Neighbours by name are often neighbours in time. The order hangs on the files' names alone, so a
    smaller number of samples is a part of every larger one.
    """
    return sorted(
        set(images),
        key=lambda path: (hashlib.sha256(os.fsencode(path.name)).hexdigest(), path.as_posix()),
    )


def usable(
    images: Iterable[Path],
    purpose: str,
    *,
    minimum: int = 1,
    most: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Usable:
    """Leave out the images that the server would refuse; the others keep their order.

    Args:
        images: image files.
        purpose: what they are for, in the words of a message.
        minimum: fewest usable images to go on with.
        most: look no further once so many are found; None takes all.
        max_pixels: largest accepted width times height.

    Raises:
        ImagesError: fewer than ``minimum`` images are usable.
    """
    chosen: list[Path] = []
    hashes: list[str] = []
    unreadable: list[str] = []
    for path in images:
        if len(chosen) == most:
            break
        try:
            data = path.read_bytes()
            decode(data, formats=contract.FORMATS, max_pixels=max_pixels)
        except (OSError, ImageError) as error:
            unreadable.append(f"{path}: {error}")
        else:
            chosen.append(path)
            hashes.append(hashlib.sha256(data).hexdigest())
    if len(chosen) < minimum:
        message = f"{purpose}: expected {minimum} usable images or more, got {len(chosen)}"
        if unreadable:
            message += f"; the first of {len(unreadable)} unreadable ones is {unreadable[0]}"
        raise ImagesError(message)
    return Usable(tuple(chosen), tuple(hashes), tuple(unreadable))


def left_out(purpose: str, unreadable: Sequence[str]) -> list[str]:
    """Return a line for the user on the images that were left out; none if there are none.

    Args:
        purpose: what the images were for.
        unreadable: see ``Usable``.
    """
    if not unreadable:
        return []
    more = len(unreadable) - _MOST_NAMED
    named = "; ".join(unreadable[:_MOST_NAMED])
    others = f"; and {more} more" if more > 0 else ""
    return [f"note: {purpose}: {len(unreadable)} images cannot be read, left out: {named}{others}"]


def letterboxed(
    data: bytes, input_size: int, max_pixels: int = MAX_PIXELS
) -> tuple[UInt8Array, Float32Array]:
    """Do what the server's preprocess step does with one image file's bytes.

    Returns:
        The tensors ``images`` without its batch axis, uint8 [S, S, 3] BGR, and ``letterbox``,
        float32 [6]; see the contract.

    Raises:
        ImageError: not an image that the server accepts.
    """
    frame = decode(data, formats=contract.FORMATS, max_pixels=max_pixels)
    canvas = np.full((input_size, input_size, 3), contract.PAD_VALUE, np.uint8)
    return canvas, letterbox(frame, canvas)
