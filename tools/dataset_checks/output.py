"""What the check says: tables for the terminal and JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TypeAlias

from rich.markup import escape
from rich.table import Table
from tridet.cli.printable import printable

from .checks import Checked
from .summary import EDGES, SplitSummary

_EXAMPLES = 3
Cells: TypeAlias = "tuple[tuple[str, ...], list[tuple[str, ...]]]"
"""Column names and rows."""


def json_text(checked: Checked) -> str:
    """Return all faults and figures."""
    content: dict[str, Any] = {
        "dataset": str(checked.dataset.file),
        "names": checked.dataset.names,
        "imgsz": checked.imgsz,
        "errors": checked.count("error"),
        "warnings": checked.count("warning"),
        "faults": [{**asdict(fault), "file": str(fault.file)} for fault in checked.faults],
        "splits": [asdict(split) for split in checked.summary.splits],
        "box_sides": {"edges_px": EDGES, "boxes": checked.summary.box_sides},
    }
    return json.dumps(content, indent=1) + "\n"


def split_rows(checked: Checked) -> Cells:
    """Return the columns and rows of a table of splits."""
    columns = ("split", "images", "without objects", "objects", "per image", "image sizes")
    return columns, [
        (
            split.name,
            str(split.images),
            str(split.empty_images),
            str(split.objects),
            f"{split.objects / max(split.images, 1):.1f}",
            _sizes(split),
        )
        for split in checked.summary.splits
    ]


def class_rows(checked: Checked) -> Cells:
    """Return the columns and rows of a table of classes."""
    splits = checked.summary.splits
    rows: list[tuple[str, ...]] = []
    total = max(sum(split.objects for split in splits), 1)
    for index, name in enumerate(checked.dataset.names):
        counts = [split.per_class[index] for split in splits]
        rows.append((printable(name), *map(str, counts), f"{sum(counts) / total:.1%}"))
    return ("class", *(split.name for split in splits), "share"), rows


def fault_rows(checked: Checked) -> Cells:
    """Return the columns and rows of a table of kinds of faults, with examples."""
    rows: list[tuple[str, ...]] = []
    for severity, kind, count in checked.kinds():
        same = [f for f in checked.faults if (f.severity, f.kind) == (severity, kind)]
        examples = "\n".join(
            printable(f"{fault.file.name}: {fault.text}") for fault in same[:_EXAMPLES]
        )
        more = f"\n… {count - _EXAMPLES} more" if count > _EXAMPLES else ""
        rows.append((severity, kind, str(count), examples + more))
    return ("", "what", "count", "for example"), rows


def rich_tables(checked: Checked) -> list[Table]:
    """Return the tables for a terminal."""
    tables = []
    for title, (columns, rows), text in (
        (printable(str(checked.dataset.file)), split_rows(checked), (0,)),
        ("Objects by class", class_rows(checked), (0,)),
        ("What is wrong", fault_rows(checked), (0, 1, 3)),
    ):
        if not rows:
            continue
        table = Table(title=title, title_justify="left", title_style="bold")
        for number, name in enumerate(columns):
            table.add_column(name, justify="left" if number in text else "right", overflow="fold")
        for row in rows:
            style = {"error": "red", "warning": "yellow"}.get(row[0])
            table.add_row(*map(escape, row), style=style)
        tables.append(table)
    return tables


def _sizes(split: SplitSummary) -> str:
    if not split.sizes:
        return "none readable"
    if len(split.sizes) == 1:
        return f"{split.sizes[0][0]} x {split.sizes[0][1]}"
    widths, heights, _ = zip(*split.sizes, strict=True)
    low, high = f"{min(widths)} x {min(heights)}", f"{max(widths)} x {max(heights)}"
    return f"{len(split.sizes)} sizes from {low} to {high}"
