"""What ``tridet status`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tridet.server_info import ModelStatus, ServerStatus

_HEADER = ("model", "version", "state", "requests", "failed", "batch")
_TIMES = ("queue ms", "input ms", "infer ms", "output ms")


def print_status(status: ServerStatus, url: str) -> None:
    """Print the server's health and a table of its models, an ensemble's steps among them."""
    # Off a terminal a table is read by programs or pasted: do not fold it to 80 columns.
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    health = "ready" if status.ready else "live, but not ready"
    console.print(f"{status.name} {status.version} at {url}: {health}", markup=False)
    table = Table(box=None, pad_edge=False)
    for title in _HEADER:
        table.add_column(title, justify="left" if title in ("model", "state") else "right")
    for title in _TIMES:
        table.add_column(title, justify="right")
    for model in status.models:
        table.add_row(*_row(model))
    console.print(table)
    for name, members in status.groups.items():
        console.print(f"{name}: {' + '.join(members)}", markup=False)


def _row(model: ModelStatus) -> list[str]:
    batch = f"{model.images / model.executions:.1f}" if model.executions else ""
    times = (model.queue_ms, model.input_ms, model.infer_ms, model.output_ms)
    return [
        model.name,
        model.version,
        model.state,
        str(model.requests),
        str(model.failures),
        batch,
        *(f"{time_ms:.2f}" if model.requests else "" for time_ms in times),
    ]
