"""What ``tridet status`` prints."""

from __future__ import annotations

from rich.table import Table

from tridet.cli.console import stdout_console
from tridet.server_info import ModelStatus, ServerStatus

_HEADER = ("model", "version", "state", "requests", "failed", "batch")
_TIMES = {
    "queue ms": "queue",
    "input ms": "compute_input",
    "infer ms": "compute_infer",
    "output ms": "compute_output",
}


def print_status(status: ServerStatus, url: str) -> None:
    """Print the server's health and a table of its models, an ensemble's steps among them."""
    console = stdout_console()
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
    done = model.done
    return [
        model.name,
        model.version,
        model.state,
        str(done.requests),
        str(done.failures),
        f"{done.mean_batch:.1f}" if done.executions else "",
        *(f"{done.ms(part):.2f}" if done.requests else "" for part in _TIMES.values()),
    ]
