"""What the user sees on stderr while ``tridet detect`` runs, and when it is done."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tridet.detections import Detections


class Report:
    """Count results, show a progress bar on a terminal, print failures and a summary.

    Args:
        total: number of sources.
        quiet: print failures only.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self.failed = 0
        self.done = 0
        self._quiet = quiet
        self._classes: Counter[str] = Counter()
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("detecting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or total < 2 or not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total)
        self._started = time.monotonic()

    def __enter__(self) -> Report:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def success(self, detections: Detections) -> None:
        """Count one image that was finished."""
        self.done += 1
        self._classes.update(detections.names)
        self._progress.advance(self._task)

    def failure(self, reason: str) -> None:
        """Count and print one source that failed."""
        self.failed += 1
        self._progress.advance(self._task)
        self._console.print(
            f"tridet: error: {reason}", markup=False, highlight=False, soft_wrap=True
        )

    def summary(self) -> None:
        """Print the table of counts."""
        if self._quiet:
            return
        elapsed_s = time.monotonic() - self._started
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_row("images", str(self.done))
        if self.failed:
            table.add_row("failed", str(self.failed), style="red")
        table.add_row("detections", str(self._classes.total()))
        for name, count in self._classes.most_common():
            table.add_row(f"  {name}", str(count), style="default")
        table.add_row("time", f"{elapsed_s:.2f} s")
        table.add_row("speed", f"{self.done / elapsed_s:.1f} images/s")
        self._console.print(table)
