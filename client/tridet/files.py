"""Write files so that nobody ever sees half of one: under another name first, then renamed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that appears at ``path`` when the block ends, and not at all if it fails."""
    with replacing(path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, entirely or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the place of ``path`` when the block ends.

    If the block fails, ``path`` stays as it was and nothing else is left.
    """
    # In the same folder, because a rename is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
