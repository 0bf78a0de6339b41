"""The numbers of all sources, written as JSON lines once a second."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from tridet.exceptions import SinkFailed
from tridet.streaming.stats import Snapshot

_INTERVAL_S = 1.0


class StatsFile:
    """A line per source and second: ``at`` in ISO 8601, and the fields of ``Snapshot``.

    Args:
        path: of the file; overwritten.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._due_s = clock()
        self._file = path.open("w", encoding="utf-8")

    def write_if_due(self, snapshots: Sequence[Snapshot]) -> None:
        """Write the lines unless less than a second has passed; see ``write``."""
        now_s = self._clock()
        if now_s >= self._due_s:
            # From now, not from when it was due: a pause is not made up for.
            self._due_s = now_s + _INTERVAL_S
            self.write(snapshots)

    def write(self, snapshots: Sequence[Snapshot]) -> None:
        """Write the lines.

        Raises:
            SinkFailed: they cannot be written, the disk is full for instance.
        """
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        lines = [json.dumps({"at": at, **snapshot.to_dict()}) + "\n" for snapshot in snapshots]
        try:
            self._file.write("".join(lines))
            self._file.flush()
        except OSError as error:
            raise SinkFailed(f"--stats {self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Finish; everything has been written."""
        with contextlib.suppress(OSError):  # the rest of a line that ``write`` has reported
            self._file.close()
