"""Write files so that nobody ever sees half of one: under another name first, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

# /dev/stdout may lead to a regular file, which is the caller's and not to be replaced.
_OF_THE_SYSTEM = ("dev", "proc")


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that appears at ``path`` when the block ends, and not at all if it fails."""
    with (
        replacing(path) as temporary,
        # What UTF-8 cannot hold, bytes of an old file name, is written as JSON writes it: \udce9.
        temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as file,
    ):
        yield file


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, entirely or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the place of ``path`` when the block ends.

    If the block fails, ``path`` stays as it was and nothing else is left. A link stays one: what it
    leads to is replaced. A device or a pipe cannot be: it is written to as it is.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    if path.exists() and (not path.is_file() or path.absolute().parts[1] in _OF_THE_SYSTEM):
        yield path
        return
    target = Path(os.path.realpath(path))
    # In the same folder, because a rename is atomic within one file system only.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException as error:
        # Nothing that was not begun: the folder may not even be one.
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
