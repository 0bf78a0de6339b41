"""The main thread of ``tridet stream``: watch, show, note the numbers, and end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tridet.cli.stream_display import Display
from tridet.cli.stream_sinks import Opened
from tridet.exceptions import SinkFailed, TridetError
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.sources import Source
from tridet.streaming.stats import Snapshot
from tridet.timestamps import utc_text

_TICK_S = 0.1
# What the sinks still hold when the run is over may take so long to write.
_FLUSH_S = 10.0
_STATS_INTERVAL_S = 1.0
_SHOW_CURSOR = "\x1b[?25h"


class StatsFile:
    """The numbers of all sources: a line of JSON per source and second.

    A line holds ``at``, in ISO 8601 in UTC, and the fields of ``Snapshot``.

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
            self._due_s = now_s + _STATS_INTERVAL_S
            self.write(snapshots)

    def write(self, snapshots: Sequence[Snapshot]) -> None:
        """Write the lines.

        Raises:
            SinkFailed: they cannot be written, the disk is full for instance.
        """
        at = utc_text(time.time())
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


class Run:
    """One run of the command.

    Args:
        sources: those of the pipeline.
        pipeline: not yet started.
        opened: the sinks, not yet started; they are the pipeline's.
        stats_file: where the numbers go, if anywhere.
        display: shows the numbers.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        pipeline: Pipeline,
        opened: Opened,
        stats_file: StatsFile | None,
        display: Display,
    ) -> None:
        self._sources = sources
        self._pipeline = pipeline
        self._sinks = opened.sinks
        self._stats_file = stats_file
        self._display = display
        self._reported: set[str] = set()

    def until_over(self) -> int:
        """Run, and return the exit code.

        0 at the end of the sources or after the duration, also when the user stops sources that
        have no end; 1 if a source, a sink or the statistics failed; 128 + the signal's number if
        it cut a file off.

        Raises:
            TridetError: the run could not begin.
        """
        with _Interrupts() as interrupts:
            with self._display:
                self._watch(interrupts)
                cut_off = interrupts.received is not None and self._files_left()
                self._finish_sinks()
            snapshots = self._pipeline.snapshots()
            if self._pipeline.fatal is not None:
                raise self._pipeline.fatal
            self._display.summary(snapshots, [_summary(sink) for sink in self._sinks])
        if self._reported:
            return 1
        return 128 + (interrupts.received or 0) if cut_off else 0

    def _watch(self, interrupts: _Interrupts) -> None:
        for sink in self._sinks:
            sink.start()
        self._pipeline.start()
        try:
            # Short waits: a signal is noticed between them, and on some systems only then.
            while not self._pipeline.join(_TICK_S):
                self._show()
                if interrupts.received is not None or self._nobody_looks():
                    self._pipeline.stop()
        finally:
            self._pipeline.stop()
            self._show(last=True)

    def _show(self, last: bool = False) -> None:
        snapshots = self._pipeline.snapshots()
        self._display.update(snapshots)
        for name, error in dict(self._pipeline.errors).items():
            self._report(f"source {name}", error)
        for sink in self._sinks:
            if sink.error is not None:
                self._report(sink.name, sink.error)
        if self._stats_file is not None:
            try:
                if last:
                    self._stats_file.write(snapshots)
                else:
                    self._stats_file.write_if_due(snapshots)
            except TridetError as error:
                self._report("stats", error)
                self._stats_file.close()
                self._stats_file = None

    def _report(self, key: str, error: TridetError) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self._display.error(str(error))

    def _nobody_looks(self) -> bool:
        return bool(self._sinks) and all(sink.done or sink.error for sink in self._sinks)

    def _files_left(self) -> bool:
        ended = self._pipeline.ended
        return any(not source.live and source.name not in ended for source in self._sources)

    def _finish_sinks(self) -> None:
        for sink in self._sinks:
            sink.close()
        until_s = time.monotonic() + _FLUSH_S
        for sink in self._sinks:
            if not sink.join(max(0.0, until_s - time.monotonic())) and sink.error is None:
                self._reported.add(sink.name)
                self._display.error(f"{sink.name}: expected to finish within {_FLUSH_S:g} s")
        for sink in self._sinks:
            if sink.error is not None:
                self._report(sink.name, sink.error)
        if self._stats_file is not None:
            self._stats_file.close()


class _Interrupts:
    """Ctrl-C and SIGTERM: the first asks for a clean end, the second does not ask.

    While the block runs, signals are noted instead of raised, so that none is ever lost.

    A thread that holds a lock when ``KeyboardInterrupt`` strikes may leave anything half done.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal's number."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # Not sys.exit, which waits for threads that may hang. The table has hidden the cursor.
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
            os._exit(128 + number)
        self.received = number


def _summary(sink: SinkThread) -> str:
    dropped = sum(sink.drops.values())
    return f"{sink.name}: {sink.written} results" + (f", {dropped} dropped" if dropped else "")
