"""A server's private folder: the wheel laid out for Triton, and what marks leftovers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from .checks import Wheel
from .errors import InstallationError

_FOLDER = "tridet-serve-"
_LOCK = "lock"


def token_of(folder: Path) -> str:
    """What is unique to a server, from the name of its folder."""
    return folder.name.removeprefix(_FOLDER)


def shm_prefix(token: str) -> str:
    """What the names of a server's shared memory regions start with."""
    return f"tridet_{token}_"


def shm_bytes_per_instance(free_bytes: int) -> int:
    """What a model instance starts with, for the bytes free in /dev/shm.

    Triton's default, 1 MiB, has to grow for every frame: measured, a 1080p frame then takes 25 ms
    for a round trip, and 10 ms where it fits from the start. The memory is really allocated, so
    take little of Docker's 64 MiB.
    """
    mib = 1024 * 1024
    if free_bytes >= 512 * mib:
        return 16 * mib
    return 8 * mib if free_bytes >= 128 * mib else 1 * mib


def make_folder() -> tuple[Path, int]:
    """A new folder and the descriptor of the lock that marks it as in use.

    Triton 2.51 puts paths into a shell command without quotes: no character of the path may mean
    anything to a shell.
    """
    bases = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for base in bases:
        if not re.fullmatch(r"[\w./-]+", base, re.ASCII):
            continue
        folder = Path(base).absolute() / f"{_FOLDER}{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            continue
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder, lock
    raise InstallationError(
        f"no folder for temporary files among {', '.join(bases)}: set TMPDIR to one that can be "
        "written and whose path has no space"
    )


def link_parts(folder: Path, wheel: Wheel, libpython: Path, repository: Path) -> None:
    """Fill the folder with backends/, libraries/, wheel/ and repository/."""
    # Links, not copies: they work also where /tmp forbids to execute what lies in it, and they give
    # the repository a path without spaces.
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for part in (*wheel.backend.iterdir(), wheel.stub):
        if part.name != "__pycache__":
            (backend / part.name).symlink_to(part.absolute())
    (folder / "libraries").mkdir()
    (folder / "libraries" / libpython.name).symlink_to(libpython.absolute())
    (folder / "wheel").symlink_to(wheel.libraries.absolute())
    (folder / "repository").symlink_to(repository.absolute())


def remove_leftovers() -> None:
    """Remove what servers left whose supervisor was killed: a folder whose lock nobody holds."""
    for base in {tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"}:
        for folder in Path(base).glob(f"{_FOLDER}*"):
            # Anybody may put a folder there, of any name.
            if not re.fullmatch(r"[0-9a-f]{8}", token_of(folder)) or not _is_ours(folder):
                continue
            try:
                lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # in use
            else:
                prefix = shm_prefix(token_of(folder))
                for region in Path("/dev/shm").glob(f"{prefix}*"):
                    with contextlib.suppress(OSError):
                        region.unlink()
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
