"""Find the images that a command line names: files, folders, globs and stdin."""

from __future__ import annotations

import glob
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tridet.images import bytes_of

STDIN = "-"
SUFFIXES = (
    *(".jpg", ".jpeg", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx"),
)
"""Of the files that are taken for images in a folder."""
_DRAWABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
"""Of these, the ones that OpenCV writes in colour; the others are saved as PNG."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image to be read."""

    name: str
    """As it is reported: the path, or ``-``."""
    output_name: str
    """A relative path for what is made of it, without its suffix unique among all sources: the
    sub-folders in which it was found, and its name."""

    @property
    def path(self) -> Path | None:
        """Where the image is; None for stdin."""
        return None if self.name == STDIN else Path(self.name)

    def read(self) -> bytes:
        """Return the image file's bytes.

        Raises:
            InvalidInput: it cannot be read.
        """
        return sys.stdin.buffer.read() if self.name == STDIN else bytes_of(self.name)


def files_under(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files under a folder that Ultralytics would find, in no particular order.

    Links to folders are followed unless they lead in a circle, hidden files and folders are left
    out: macOS, Jupyter and file managers keep copies of images there.

    Args:
        folder: that holds them; without permission it is an empty one.
        above: the folders, without links, on the way to it.
    """
    real = folder.resolve()
    if real in above:
        return
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except PermissionError:
        return
    for path in paths:
        if path.is_dir():
            yield from files_under(path, above | {real})
        else:
            yield path


def images_among(paths: Iterable[Path], suffixes: Collection[str] = SUFFIXES) -> list[Path]:
    """Return the image files that are not hidden, sorted."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    )


class Sources(NamedTuple):
    """What a command line names."""

    images: list[Source]
    """In the order of the arguments."""
    problems: list[str]
    """A line for each argument that holds none."""
    skipped: Counter[str]
    """How many files in folders are no images, by their suffix."""


def find_sources(arguments: Iterable[str], recursive: bool) -> Sources:
    """Find the images that the arguments name."""
    found: list[tuple[str, Path]] = []
    problems: list[str] = []
    skipped: Counter[str] = Counter()
    for argument in arguments:
        folder = Path(argument)
        if argument == STDIN:
            found.append((STDIN, Path("stdin")))
        elif folder.is_dir():
            files = list(files_under(folder) if recursive else folder.iterdir())
            images = images_among(files)
            skipped += _others(files, images)
            found += [(str(image), image.relative_to(folder)) for image in images]
            if not images:
                problems.append(f"{argument}: no image in this folder: expected {_expected()}")
        elif not folder.exists() and glob.has_magic(argument):
            matches = _matches(argument)
            found += matches
            if not matches:
                problems.append(f"{argument}: no file matches")
        else:  # should it not exist, reading it says so
            found.append((argument, Path(folder.name)))
    return Sources(_with_output_names(found), problems, skipped)


def _others(files: Iterable[Path], images: Iterable[Path]) -> Counter[str]:
    known = set(images)
    return Counter(
        path.suffix.lower() or path.name
        for path in files
        if path not in known and not path.name.startswith(".") and path.is_file()
    )


def _matches(pattern: str) -> list[tuple[str, Path]]:
    """Return the files, and where each lies below the folder in which ** begins to look."""
    # Not Path.glob, which takes no absolute pattern.
    names = sorted(
        name
        for name in glob.glob(pattern, recursive=True)  # noqa: PTH207
        if Path(name).is_file()
    )
    above, deep, _ = pattern.partition("**")
    if not deep or glob.has_magic(above):
        return [(name, Path(Path(name).name)) for name in names]
    return [(name, Path(name).relative_to(Path(above))) for name in names]


def _expected() -> str:
    return ", ".join(f"*{suffix}" for suffix in SUFFIXES)


def _with_output_names(found: Iterable[tuple[str, Path]]) -> list[Source]:
    taken: set[str] = set()
    counts: Counter[str] = Counter()
    sources = []
    for name, path in found:
        # Compared without case, for file systems that do not tell a.jpg from A.jpg.
        wished = str(path.with_suffix(""))
        stem = wished
        while stem.lower() in taken:
            counts[wished.lower()] += 1
            stem = f"{wished}-{counts[wished.lower()] + 1}"
        taken.add(stem.lower())
        suffix = path.suffix.lower()
        kept = path.suffix if suffix in _DRAWABLE else ".png" if suffix in SUFFIXES else ".jpg"
        sources.append(Source(name, stem + kept))
    return sources
