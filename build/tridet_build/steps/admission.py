"""Admission: refuse a frame at the door rather than queue it without bound or serve it late.

Triton has queue policies of its own, but up to 26.07 any of them turns off the prefetching of its
dynamic batcher, which then looks for a free instance only when a new request arrives or every 500
ms (``WaitForPayloadSlotAvailable`` in Triton's source): a burst of eight images took 570 ms instead
of 58 ms. So the preprocess step counts the frames under way, and the nms step counts them out.

How long a new frame would have to wait is known at once (Little's law): the frames under way over
the rate at which frames leave. That rate is taken over the time in which the server had work, of
the last frames that left. A frame that never leaves, because its request was cancelled or failed
between the steps, is told by those that leave: they came later, by more than their times differ.

Nothing here is guarded by a lock: with 40 instances, waiting for one took longer than their work.
Each instance has a row of the table, and each word one writer at a time; so the count may pass its
limit by what several instances admit in the same microseconds.

Pure NumPy and standard library, Linux. ``tridet-build`` places this file beside both steps.
"""

import contextlib
import fcntl
import mmap
import os
import secrets
import stat
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_PREFIX = "tridet-admission-"
_FREE = 0
_ROWS = 256
"""Most instances of both steps on a server; the table takes only the memory that is touched."""
_RECENT = 256
"""Frames that left: so many are remembered of each nms instance, and looked at of them all."""
_WINDOW_NS = 2_000_000_000
"""Of these, those of so long before the last, or of twice the time that it took."""
_REFRESH_NS = 5_000_000
"""How long what is derived from them is used again: the door is passed thousands of times a
second."""
_SLACK_NS = 500_000_000
"""How much longer than all others a frame may take before it is given up as lost."""
_UNKNOWN_NS = 3_000_000_000
"""How long a frame counts as under way while none has left yet: all may be lost."""
_CAUTION = 1.05
"""How much slower than lately the server is taken to be: a late frame is work for nothing."""
_FRAME_WORDS, _LEFT_WORDS = 5, 4

Int64Array = npt.NDArray[np.int64]


class OverloadedError(Exception):
    """The frame is not admitted, or is too late; the text says why, in one line."""


class _Flow(NamedTuple):
    """How frames have been leaving the server."""

    rate: float | None
    """Frames a second, over the time in which there was work; None where none has left yet."""
    surprise_s: float
    """By how much the slowest of them exceeded what was expected at the door."""
    lost_before: int
    """What came before that and has not left was lost on the way."""


class Admission:
    """The frames of one server that are under way, as its preprocess and nms instances see them.

    Args:
        capacity: most frames under way; that of the first instance counts as long as the server
            runs, since the table is laid out for it.
        max_wait_s: longest that a frame may take, from the door to its last step.
        folder: where the table lies; memory-backed, common to the instances.

    Raises:
        RuntimeError: the table cannot be used: it is not this user's own file, or too many
            instances use it.
    """

    def __init__(self, capacity: int, max_wait_s: float, folder: Path = Path("/dev/shm")) -> None:
        self._max_wait_s = max_wait_s
        self._file = _open_table(folder)
        self._capacity = capacity = _lay_out(self._file, capacity)
        places, left = _ROWS * capacity, _ROWS * _RECENT
        words = _words(capacity)
        # A plain array over the mapping: np.memmap spends longer on itself than on this work.
        table = np.frombuffer(mmap.mmap(self._file, 8 * words), np.int64)
        self._owners, frames, left_words = np.split(table, [_ROWS, words - left * _LEFT_WORDS])
        self._tickets, self._frames, self._came, self._expected, self._due = frames.reshape(
            _FRAME_WORDS, places
        )
        self._left = left_words.reshape(_ROWS, _RECENT, _LEFT_WORDS)
        self._place_bits = (places - 1).bit_length()
        self._row: int | None = None
        self._count = 0
        self._flow = _Flow(None, 0.0, 0)
        self._flow_at = -_REFRESH_NS

    def admit(self, frames: int, timeout_s: float | None = None) -> int:
        """Count frames in and return their ticket, int64; ``release`` wants it back.

        Args:
            frames: how many the request holds.
            timeout_s: how long the request may take, if it says.

        Raises:
            OverloadedError: too many frames are under way, or they would take too long.
        """
        limit_s = min(self._max_wait_s, timeout_s or self._max_wait_s)
        row = self._claim_row()
        now = time.monotonic_ns()
        if now - self._flow_at >= _REFRESH_NS:
            self._flow, self._flow_at = self._recent_flow(now), now
        flow = self._flow
        waiting = self._waiting(flow.lost_before)
        under_way = int(self._frames[: len(waiting)] @ waiting)
        if under_way + frames > self._capacity:
            raise OverloadedError(
                f"overloaded: expected at most {self._capacity} frames under way, "
                f"got {under_way} and {frames} more"
            )
        expected_s = 0.0
        if under_way and flow.rate is not None:
            expected_s = _CAUTION * (under_way + frames) / flow.rate
            # Of detectors of very different speed, the slowest shall not close the door for all.
            margin_s = min(flow.surprise_s, limit_s / 2)
            if expected_s + margin_s > limit_s:
                raise OverloadedError(
                    f"overloaded: expected to take at most {limit_s:g} s, "
                    f"but {under_way} frames under way make it {expected_s:.2f} s"
                )
        first = row * self._capacity
        mine = slice(first, first + self._capacity)
        # There is one: each waiting ticket of this row stands for a frame or more. One given up as
        # lost comes last, the oldest first: should it leave after all, it is served.
        given_up = np.where(self._tickets[mine] == _FREE, 0, self._came[mine])
        place = first + int(np.argmin(np.where(waiting[mine], now + 1, given_up)))
        # By chance, so that nobody who calls the nms step by hand counts out another's frame.
        ticket = secrets.randbits(62 - self._place_bits) + 1 << self._place_bits | place
        self._tickets[place] = _FREE
        self._frames[place] = frames
        self._came[place] = now
        self._expected[place] = now + int(expected_s * 1e9)
        self._due[place] = now + int(limit_s * 1e9)
        self._tickets[place] = ticket
        return ticket

    def withdraw(self, ticket: int) -> None:
        """Take back a ticket of this instance whose frames go no further."""
        self._tickets[ticket & (1 << self._place_bits) - 1] = _FREE

    def release(self, ticket: int) -> None:
        """Count the frames of a ticket out.

        Raises:
            OverloadedError: they are late, or nobody's; their result is not to be served.
        """
        place = ticket & (1 << self._place_bits) - 1
        if ticket <= _FREE or place >= len(self._tickets) or self._tickets[place] != ticket:
            raise OverloadedError("overloaded: the frame was given up as lost")
        frames, came, expected, due = (
            int(words[place]) for words in (self._frames, self._came, self._expected, self._due)
        )
        self._tickets[place] = _FREE
        now = time.monotonic_ns()
        self._left[self._claim_row(), self._count % _RECENT] = (
            *(came, now, frames),
            now - expected if expected > came else 0,
        )
        self._count += 1
        if now > due:
            raise OverloadedError(
                f"overloaded: expected to take at most {(due - came) / 1e9:g} s, "
                f"took {(now - came) / 1e9:.2f} s"
            )

    def _waiting(self, lost_before: int) -> npt.NDArray[np.bool_]:
        """Say of each place in use whether its frames are under way; of the others nothing."""
        end = np.count_nonzero(self._owners) * self._capacity
        waiting: npt.NDArray[np.bool_] = self._came[:end] > lost_before
        waiting &= self._tickets[:end] != _FREE
        return waiting

    def _recent_flow(self, now: int) -> _Flow:
        left = self._left[: np.count_nonzero(self._owners)].reshape(-1, _LEFT_WORDS)
        # The others hold nothing yet, or are being written.
        left = left[left[:, 1] > left[:, 0]]
        if not len(left):
            return _Flow(None, 0.0, now - _UNKNOWN_NS)
        left = left[np.argsort(left[:, 1])[-_RECENT:]]
        window = max(_WINDOW_NS, 2 * int(left[-1, 1] - left[-1, 0]))
        left = left[left[:, 1] >= left[-1, 1] - window]
        took = left[:, 1] - left[:, 0]
        longest, shortest = int(took.max()), int(took.min())
        overtaken = int(left[:, 0].max()) - (longest - shortest)
        lost_before = max(overtaken, now - 2 * longest) - _SLACK_NS
        waiting = self._waiting(lost_before)
        since = int(self._came[: len(waiting)][waiting].min(initial=now))
        surprise_s = max(0, int(left[:, 3].max())) / 1e9
        return _Flow(_rate(left[:, :3], since, now), surprise_s, lost_before)

    def _claim_row(self) -> int:
        """Take the first row that has no owner any more.

        Raises:
            RuntimeError: all have one.
        """
        if self._row is not None:
            return self._row
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            for row, owner in enumerate(self._owners.tolist()):
                if not owner or not Path("/proc", str(owner)).exists():
                    self._owners[row] = os.getpid()
                    self._row = row
                    return row
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        raise RuntimeError(f"expected at most {_ROWS} preprocess and nms instances on one server")


def _rate(spans: Int64Array, since: int, now: int) -> float:
    """Return frames a second, over the time in which there was work.

    Args:
        spans: int64 [n, 3], one or more: when each came, when it left, how many frames it was; in
            the order in which they left.
        since: when the oldest frame that is still under way came.
        now: when it is asked.
    """
    came, left, frames = spans.T
    if len(spans) == 1:
        return float(frames[0] / (left[0] - came[0]) * 1e9)
    # A pause in which nothing that left since was there yet, nor what is under way now.
    earliest = np.minimum(np.minimum.accumulate(came[:0:-1])[::-1], since)
    between = np.diff(left) - np.maximum(earliest - left[:-1], 0)
    # Frames leave a batch at a time: only a longer silence than usual says that it got slower.
    silence = now - max(int(left[-1]), since) - int(between.max())
    busy_ns = max(int(between.sum()) + max(silence, 0), 1)
    return float(frames[1:].sum() / busy_ns * 1e9)


def _open_table(folder: Path) -> int:
    # All instances are children of one tritonserver, which may not be the only one here, nor the
    # only one with its number: containers may share /dev/shm and not the numbers, which come again.
    prefix = f"{_PREFIX}{Path('/proc/self/ns/pid').stat().st_ino}-"
    _remove_tables_of_ended_servers(folder, prefix)
    path = folder / f"{prefix}{os.getppid()}-{_start_of(os.getppid())}"
    # Not through a link that somebody put there, nor into a file of theirs.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    found = os.fstat(file)
    if found.st_uid != os.geteuid() or found.st_nlink != 1 or not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise RuntimeError(f"{path}: expected a file of this user, got another's")
    return file


def _lay_out(file: int, capacity: int) -> int:
    """Give a new table its size, which then stays; return the capacity that it has."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        words = os.fstat(file).st_size // 8
        if not words:
            os.ftruncate(file, 8 * _words(capacity))  # zeros, which are free places
            return capacity
        return (words - _words(0)) // (_ROWS * _FRAME_WORDS)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _words(capacity: int) -> int:
    return _ROWS + _ROWS * capacity * _FRAME_WORDS + _ROWS * _RECENT * _LEFT_WORDS


def _start_of(pid: int) -> str:
    """When the process started, in ticks since the machine did; "" if there is none."""
    try:
        # The name, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _remove_tables_of_ended_servers(folder: Path, prefix: str) -> None:
    # An instance cannot remove its own: another may be using it, and would lose the others' count.
    for path in folder.glob(f"{prefix}*"):
        pid, _, start = path.name.removeprefix(prefix).partition("-")
        if not pid.isdecimal() or _start_of(int(pid)) == start:
            continue
        with contextlib.suppress(OSError):  # another user's, or gone
            path.unlink()
