"""Plain text in columns: all that the base commands need of a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tridet.cli.printable import printable


def in_columns(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return the rows as lines, each column as wide as its longest text, control characters
    written out.

    Args:
        rows: equally long.
        left: the columns that align left; the others align right.
    """
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
