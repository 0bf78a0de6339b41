"""What the user sees on stderr: a live table on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tridet.cli.printable import printable
from tridet.streaming.stats import Snapshot, State

_COLOURS = {
    State.LIVE: "green",
    State.CONNECTING: "cyan",
    State.STALLED: "yellow",
    State.RECONNECTING: "yellow",
    State.ENDED: "dim",
    State.FAILED: "red",
}
# Without a result for so long, a source has a trouble worth a line; shorter ones come and go.
_STUCK_S = 2.0
_PER_S = 4


class Display:
    """The numbers while the run goes on, errors as they come, counts in the end.

    Args:
        quiet: show errors only.
    """

    def __init__(self, quiet: bool, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._shown: dict[str, tuple[str, str]] = {}
        self._due_s = 0.0

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Show one line."""
        if not self._quiet:
            self._print(text)

    def warning(self, text: str) -> None:
        """Show what is amiss but ends nothing; in any thread."""
        self.note(f"tridet: warning: {text}")

    def error(self, text: str) -> None:
        """Show an error, in any case."""
        self._print(f"tridet: error: {text}")

    def update(self, snapshots: Sequence[Snapshot]) -> None:
        """Show how the sources stand."""
        if self._quiet:
            return
        if self._live is None:
            for snapshot in snapshots:
                self._print_change(snapshot)
        elif self._clock() >= self._due_s:
            self._due_s = self._clock() + 1 / _PER_S
            self._live.update(live_table(snapshots), refresh=True)

    def summary(self, snapshots: Sequence[Snapshot], sinks: Sequence[str]) -> None:
        """Show the counts, when nothing more will come."""
        if self._quiet:
            return
        self._console.print(counts_table(snapshots), soft_wrap=not self._console.is_terminal)
        for line in sinks:
            self._print(line)

    def _print(self, text: str) -> None:
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def _print_change(self, snapshot: Snapshot) -> None:
        # The time until the next attempt is new each time; that is no change.
        reason = snapshot.reason.partition("; next attempt")[0]
        if snapshot.trouble and (snapshot.age_s is None or snapshot.age_s > _STUCK_S):
            reason = reason or f"no results: {snapshot.trouble}"
        now = (snapshot.state, reason)
        # What has failed is reported as an error.
        if self._shown.get(snapshot.source) != now and snapshot.state != State.FAILED.value:
            self._print(f"{snapshot.source}: {snapshot.state}" + (f" ({reason})" if reason else ""))
        self._shown[snapshot.source] = now


def live_table(snapshots: Sequence[Snapshot]) -> Table:
    """Return the rates and latencies of all sources."""
    table = _table("source", "state", "in/s", "out/s", "p50 ms", "p95 ms", "dropped", "reconnects")
    for snapshot in snapshots:
        table.add_row(
            Text(printable(snapshot.source)),
            _state(snapshot),
            f"{snapshot.fps_in:.1f}",
            f"{snapshot.fps_out:.1f}",
            _milliseconds(snapshot.latency_p50_ms),
            _milliseconds(snapshot.latency_p95_ms),
            _drops(snapshot),
            str(snapshot.reconnects),
        )
    return table


def counts_table(snapshots: Sequence[Snapshot]) -> Table:
    """Return what came in and out of all sources."""
    table = _table("source", "state", "frames", "detected", "dropped", "reconnects")
    for snapshot in snapshots:
        table.add_row(
            Text(printable(snapshot.source)),
            Text(snapshot.state, _COLOURS[State(snapshot.state)]),
            str(snapshot.frames_in),
            str(snapshot.frames_out),
            _drops(snapshot),
            str(snapshot.reconnects),
        )
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        left = title in ("source", "state", "dropped")
        table.add_column(title, justify="left" if left else "right", no_wrap=left is False)
    return table


def _state(snapshot: Snapshot) -> Text:
    state = State(snapshot.state)
    text = Text(state.value, _COLOURS[state])
    reason = snapshot.reason or snapshot.trouble
    if reason and not state.final:  # why it failed has been reported as an error
        text.append(f" {printable(reason)}", "dim")
    return text


def _drops(snapshot: Snapshot) -> str:
    return ", ".join(
        f"{count} {cause.replace('_', ' ')}" for cause, count in snapshot.drops.items()
    )


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
