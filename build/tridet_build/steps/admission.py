"""Admission: refuse a frame at the door rather than queue it without bound or serve it late.

Triton has queue policies of its own, but any of them turns off the prefetching of its dynamic
batcher, which then looks for a free instance only when a new request arrives or every 500 ms
(``WaitForPayloadSlotAvailable`` in Triton's source): a burst of eight images took 570 ms instead of
58 ms. So the preprocess step counts the frames under way, and the nms step counts them out.

The instances are processes of their own and share a table without a lock: with 40 of them, waiting
for one took longer than their work. Each preprocess instance has a row, in which only it puts
tickets, one for each request between the two steps; an nms instance compares one and takes it out.
So the count may pass its limit by what several instances admit in the same microseconds.

A ticket is the time of its admission, and in its lowest bits its place. Frames leave in about the
order in which they came, so the age of the oldest is what a new frame would have to wait.

Pure NumPy and standard library, Linux. ``tridet-build`` places this file beside both steps.
"""

import fcntl
import mmap
import os
import time
from pathlib import Path

import numpy as np

_PREFIX = "tridet-admission-"
_FREE = 0
_ROWS = 256
"""Most preprocess instances of a server; the table takes only the memory that is touched."""


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
        # All instances are children of one tritonserver, which may not be the only one here, nor
        # the only one with its number: containers may share /dev/shm and not the numbers.
        prefix = f"{_PREFIX}{Path('/proc/self/ns/pid').stat().st_ino}-"
        path = folder / f"{prefix}{os.getppid()}"
        _remove_tables_of_ended_servers(folder, prefix)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        words = _ROWS * (1 + 2 * capacity)
        nbytes = words * np.dtype(np.int64).itemsize
        # Grows with zeros, which are free places, and only once: the capacity is the same for all.
        os.ftruncate(self._file, nbytes)
        # A plain array over the mapping: np.memmap spends longer on itself than on this work.
        table = np.frombuffer(mmap.mmap(self._file, nbytes), np.int64)
        self._owners = table[:_ROWS]
        self._places, self._frames = table[_ROWS:].reshape(2, _ROWS * capacity)
        self._place_bits = (_ROWS * capacity - 1).bit_length()
        self._row: int | None = None
        self._next = 0
        self._last_stamps = np.zeros(capacity, np.int64)

    def admit(self, frames: int, timeout_s: float | None = None) -> int:
        """Count frames in and return their ticket, int64; ``release`` wants it back.

        Args:
            frames: how many the request holds.
            timeout_s: how long the request may wait, if it says.

        Raises:
            OverloadedError: too many frames are under way, or the oldest for too long.
        """
        limit_s = min(self._max_wait_s, timeout_s or self._max_wait_s)
        if self._row is None:
            self._row = self._claim_row()
        now = time.monotonic_ns()
        # Zero at least: a free place is none of a lost frame.
        lost_before = max(_FREE, now - int(2e9 * self._max_wait_s))
        end = np.count_nonzero(self._owners) * self._capacity
        # A copy: places become free at any moment, and a free one would be the oldest of all.
        tickets = self._places[:end].copy()
        waiting = np.flatnonzero(tickets > lost_before)
        under_way = int(self._frames[waiting].sum())
        if under_way + frames > self._capacity:
            raise OverloadedError(
                f"overloaded: expected at most {self._capacity} frames under way, "
                f"got {under_way} and {frames} more"
            )
        waited_s = (now - tickets[waiting].min(initial=now)) / 1e9
        if waited_s > limit_s:
            raise OverloadedError(
                f"overloaded: expected to wait at most {limit_s:g} s, "
                f"but the oldest of {under_way} frames has waited {waited_s:.1f} s"
            )
        first = self._row * self._capacity
        # There is one: each waiting ticket of this row stands for a frame or more. In turn, so that
        # a place is not used twice in one tick of the stamp.
        free = np.flatnonzero(self._places[first : first + self._capacity] <= lost_before)
        place = int(free[np.searchsorted(free, self._next) % len(free)])
        self._next = place + 1
        # Unique in its place, so that what is released late frees no other request's.
        stamp = max(now >> self._place_bits, int(self._last_stamps[place]) + 1)
        self._last_stamps[place] = stamp
        ticket = stamp << self._place_bits | first + place
        self._frames[first + place] = frames
        self._places[first + place] = ticket
        return ticket

    def release(self, ticket: int) -> None:
        """Count the frames of a ticket out; one that is not in the table is no error."""
        place = ticket & (1 << self._place_bits) - 1
        if ticket > _FREE and place < len(self._places) and self._places[place] == ticket:
            self._places[place] = _FREE

    def _claim_row(self) -> int:
        """Take the first row that has no owner any more.

        Raises:
            RuntimeError: all have one.
        """
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            for row, owner in enumerate(self._owners.tolist()):
                if not owner or not Path("/proc", str(owner)).exists():
                    self._owners[row] = os.getpid()
                    return row
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        raise RuntimeError(f"expected at most {_ROWS} preprocess instances on one server")


def _remove_tables_of_ended_servers(folder: Path, prefix: str) -> None:
    # An instance cannot remove its own: another may be using it, and would lose the others' count.
    for path in folder.glob(f"{prefix}*"):
        if not Path("/proc", path.name.removeprefix(prefix)).exists():
            path.unlink(missing_ok=True)
