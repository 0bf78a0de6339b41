"""The main thread of ``tridet stream``: watch, show, and end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tridet.cli.interrupts import Interrupts
from tridet.cli.stream_display import Display
from tridet.cli.stream_sinks import Opened
from tridet.cli.stream_stats import StatsFile
from tridet.exceptions import TridetError
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.sources import Source

_TICK_S = 0.1
# What the sinks still hold when the run is over may take so long to write.
_FLUSH_S = 10.0


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
        with Interrupts() as interrupts:
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

    def _watch(self, interrupts: Interrupts) -> None:
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


def _summary(sink: SinkThread) -> str:
    dropped = sum(sink.drops.values())
    return f"{sink.name}: {sink.written} results" + (f", {dropped} dropped" if dropped else "")
