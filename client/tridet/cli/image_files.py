"""Find the images that a command line names: files, folders, globs and stdin."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tridet.images import bytes_of

STDIN = "-"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Of the files that are taken for images in a folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """One image to be read."""

    name: str
    """As it is reported: the path, or ``-``."""
    output_name: str
    """A file name for what is made of it, its stem unique among all sources."""

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


def images_among(paths: Iterable[Path]) -> list[Path]:
    """Return the image files that are not hidden, sorted."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def find_sources(arguments: Iterable[str], recursive: bool) -> tuple[list[Source], list[str]]:
    """Return the images in the order of the arguments, and one line for each that holds none."""
    names: list[str] = []
    problems: list[str] = []
    for argument in arguments:
        found, problem = _expand(argument, recursive)
        names += found
        if not found:
            problems.append(f"{argument}: {problem}")
    return _with_output_names(names), problems


def _expand(argument: str, recursive: bool) -> tuple[list[str], str]:
    path = Path(argument)
    if argument == STDIN:
        return [STDIN], ""
    if path.is_dir():
        return _images_in(path, recursive), f"no image in this folder: expected {_expected()}"
    if not path.exists() and glob.has_magic(argument):
        # Not Path.glob, which takes no absolute pattern.
        matches = glob.glob(argument, recursive=True)  # noqa: PTH207
        return sorted(match for match in matches if Path(match).is_file()), "no file matches"
    return [argument], ""  # should it not exist, reading it says so


def _images_in(folder: Path, recursive: bool) -> list[str]:
    return sorted(map(str, images_among(files_under(folder) if recursive else folder.iterdir())))


def _expected() -> str:
    return ", ".join(f"*{suffix}" for suffix in SUFFIXES)


def _with_output_names(names: list[str]) -> list[Source]:
    taken: set[str] = set()
    counts: dict[str, int] = {}
    sources = []
    for name in names:
        path = Path("stdin" if name == STDIN else name)
        # Compared without case, for file systems that do not tell a.jpg from A.jpg.
        stem = path.stem
        while stem.lower() in taken:
            counts[path.stem.lower()] = counts.get(path.stem.lower(), 1) + 1
            stem = f"{path.stem}-{counts[path.stem.lower()]}"
        taken.add(stem.lower())
        suffix = path.suffix if path.suffix.lower() in SUFFIXES else ".jpg"
        sources.append(Source(name, stem + suffix))
    return sources
