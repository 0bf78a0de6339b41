"""A table, once: for the terminal, for the page and for docs/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column names; columns after the first ``text_columns`` align right."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text_columns: int = 1

    def rich(self) -> RichTable:
        """Return it for the terminal."""
        table = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for position, column in enumerate(self.columns):
            table.add_column(
                column,
                justify="left" if position < self.text_columns else "right",
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*row)
        return table

    def html(self) -> str:
        """Return it as a heading and a table."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "\n".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows
        )
        return f"<h2>{escape(self.title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>"

    def markdown(self) -> str:
        """Return it as a Markdown section."""
        rule = ["---" if n < self.text_columns else "---:" for n in range(len(self.columns))]
        lines = (f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows))
        return "\n".join([f"### {self.title}", "", *lines])


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"
