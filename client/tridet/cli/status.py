"""What ``tridet status`` prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click
import numpy as np

from tridet.cli.columns import in_columns
from tridet.cli.options import ServerOptions
from tridet.cli.printable import printable
from tridet.detector import Detector
from tridet.exceptions import Overloaded, TridetError
from tridet.server_info import ModelStatus, ServerStatus

_HEADER = ("model", "version", "state", "requests", "failed", "batch")
_TIMES = {
    "queue ms": "queue",
    "input ms": "compute_input",
    "infer ms": "compute_infer",
    "output ms": "compute_output",
}


_GREY = np.full((32, 32, 3), 114, np.uint8)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking a detector about a small image."""

    detector: str
    healthy: bool
    text: str


def answers_of(server: ServerOptions, detectors: Sequence[str]) -> list[Answer]:
    """Ask each detector to detect."""
    return [_answer_of(server, name) for name in detectors]


def _answer_of(server: ServerOptions, name: str) -> Answer:
    with Detector(
        server.url, name, transport="raw", retries=0, tls=server.tls, timeout_s=server.timeout_s
    ) as detector:
        sent_s = time.monotonic()
        try:
            detector(_GREY)
        except Overloaded:
            return Answer(name, True, "is overloaded")
        except TridetError as error:
            return Answer(name, False, f"does not detect: {error}")
        return Answer(name, True, f"answers in {(time.monotonic() - sent_s) * 1e3:.0f} ms")


def print_status(status: ServerStatus, url: str, answers: Sequence[Answer]) -> None:
    """Print the server's health and a table of its models, an ensemble's steps among them."""
    health = "ready" if status.ready else "live, but not ready"
    click.echo(printable(f"{status.name} {status.version} at {url}: {health}"))
    rows = [[*_HEADER, *_TIMES], *(_row(model) for model in status.models)]
    click.echo(in_columns(rows, left=(0, 2)))
    for answer in answers:
        line = printable(f"{answer.detector} {answer.text}")
        click.echo(line if answer.healthy else click.style(line, fg="red"))
    for name, members in status.groups.items():
        click.echo(printable(f"{name}: {' + '.join(members)}"))


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
