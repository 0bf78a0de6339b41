"""A table, once: for the terminal, for a page and for docs/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table as RichTable
from tridet.cli.printable import printable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; columns after the first ``text_columns`` align right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text_columns: int = 1
    best: frozenset[tuple[int, int]] = frozenset()
    """(row, column) of the cells to stand out."""

    def rich(self) -> RichTable:
        """Return it for the terminal."""
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for position, column in enumerate(self.columns):
            table.add_column(
                escape(printable(column)),
                justify="left" if position < self.text_columns else "right",
                overflow="fold",
            )
        for number, cells in enumerate(self.rows):
            marked = (
                (escape(printable(cell)), (number, i) in self.best) for i, cell in enumerate(cells)
            )
            table.add_row(*(f"[bold]{cell}[/]" if best else cell for cell, best in marked))
        return table

    def markdown(self) -> str:
        """Return it as a Markdown section."""
        rule = ["---" if n < self.text_columns else "---:" for n in range(len(self.columns))]
        lines = (f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows))
        return "\n".join([f"### {self.title}", "", *lines])


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"
