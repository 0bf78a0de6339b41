"""Admission: refuse a frame at the door rather than queue it without bound or serve it late.

Triton has queue policies of its own, but any of them turns off the prefetching of its dynamic
batcher, which then looks for a free instance only when a new request arrives or every 500 ms
(``WaitForPayloadSlotAvailable`` in Triton's source): a burst of eight images took 570 ms instead of
58 ms. So the preprocess step counts the frames under way, and the nms step counts them out.

The instances are processes of their own; they share a table of admission times, one per frame
between the two steps. Frames leave in about the order in which they came, so the age of the oldest
is what a new frame would have to wait.

Pure NumPy and standard library, Linux. ``tridet-build`` places this file beside both steps.
"""

import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_PREFIX = "tridet-admission-"
_FREE = 0


class OverloadedError(Exception):
    """The frame is not admitted; the text says why, in one line."""


class Admission:
    """The frames of one server that are under way, as its preprocess and nms instances see them.

    Args:
        capacity: most frames under way.
        max_wait_s: largest age of the oldest frame under way at which another is admitted. A frame
            that has not been counted out after twice that time was lost to an error on the way.
        folder: where the table lies; memory-backed, common to the instances.
    """

    def __init__(self, capacity: int, max_wait_s: float, folder: Path = Path("/dev/shm")) -> None:
        self._capacity = capacity
        self._max_wait_s = max_wait_s
        # All instances are children of one tritonserver, which may not be the only one here.
        path = folder / f"{_PREFIX}{os.getppid()}"
        _remove_tables_of_ended_servers(folder)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Grows with zeros, which are free places, and only once: the capacity is the same for all.
        nbytes = capacity * np.dtype(np.int64).itemsize
        os.ftruncate(self._file, nbytes)
        # A plain array over the mapping: np.memmap spends longer on itself than on this work.
        self._table = np.frombuffer(mmap.mmap(self._file, nbytes), np.int64)

    def admit(self, frames: int, timeout_s: float | None = None) -> int:
        """Count frames in and return their ticket, int64; ``release`` wants it back.

        Args:
            frames: how many the request holds.
            timeout_s: how long the request may wait, if it says.

        Raises:
            OverloadedError: too many frames are under way, or the oldest for too long.
        """
        limit_s = min(self._max_wait_s, timeout_s or self._max_wait_s)
        with self._locked():
            now = time.monotonic_ns()
            self._table[self._table < now - int(2e9 * self._max_wait_s)] = _FREE
            under_way = self._table[self._table != _FREE]
            if len(under_way) + frames > self._capacity:
                raise OverloadedError(
                    f"overloaded: expected at most {self._capacity} frames under way, "
                    f"got {len(under_way)} and {frames} more"
                )
            waited_s = (now - under_way.min(initial=now)) / 1e9
            if waited_s > limit_s:
                raise OverloadedError(
                    f"overloaded: expected to wait at most {limit_s:g} s, "
                    f"but the oldest of {len(under_way)} frames has waited {waited_s:.1f} s"
                )
            ticket = max(now, int(self._table.max()) + 1)
            self._table[np.flatnonzero(self._table == _FREE)[:frames]] = ticket
            return ticket

    def release(self, ticket: int) -> None:
        """Count the frames of a ticket out; one that was counted out before is no error."""
        with self._locked():
            self._table[self._table == ticket] = _FREE

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _remove_tables_of_ended_servers(folder: Path) -> None:
    # An instance cannot remove its own: another may be using it, and would lose the others' count.
    for path in folder.glob(f"{_PREFIX}*"):
        if not Path("/proc", path.name.removeprefix(_PREFIX)).exists():
            path.unlink(missing_ok=True)
