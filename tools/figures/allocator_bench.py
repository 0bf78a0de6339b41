"""Measure what the allocator's two thresholds save the server (local_triton/environment.py).

    python tools/figures/allocator_bench.py [--transport raw] [--rounds 8]

Two servers of the benchmark's stub pipeline, one with and one without them, take turns under the
same load. The table gives medians over the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import cv2
from bench_pipelines.cpu_clock import cpu_seconds, process_tree
from bench_pipelines.frames import SIZES, UInt8Array, frames
from bench_pipelines.repository import TRIDET, write_repository
from local_triton import ALLOCATOR, LocalServer, ServeError
from tridet import AsyncDetector, TridetError
from tridet.cli.console import stdout_console
from tridet.transports import TRANSPORTS, Transport
from tridet_bench.table import Table

_WAYS = {"glibc's defaults": {}, "with the thresholds": dict(ALLOCATOR)}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--transport", type=click.Choice(TRANSPORTS), default="auto")
@click.option("--size", type=click.Choice(list(SIZES)), default="720p")
@click.option("--rounds", type=click.IntRange(1), default=8, help="Turns per server.")
@click.option("--calls", type=click.IntRange(1), default=400, help="Calls per turn.")
@click.option("--in-flight", type=click.IntRange(1), default=6, help="Calls in flight at a time.")
def main(transport: Transport, size: str, rounds: int, calls: int, in_flight: int) -> None:
    """Measure a server with and without the thresholds, in turns."""
    cv2.setNumThreads(1)
    pictures = frames(size)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _WAYS}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_server(way)) for name, way in _WAYS.items()}
        for turn in range(rounds + 1):
            for name, server in servers.items():
                figures = asyncio.run(_turn(server, transport, pictures, calls, in_flight))
                if turn:  # the first warms up
                    found[name].append(figures)
    rows = [
        (name, *(f"{statistics.median(column):.0f}" for column in zip(*figures, strict=True)))
        for name, figures in found.items()
    ]
    title = f"{transport}, {size}, {in_flight} at a time, {rounds} turns of {calls} calls"
    columns = ("tritonserver", "images/s", "CPU µs an image, server and steps")
    stdout_console().print(Table(title, columns, rows).rich())


@contextmanager
def _server(allocator: dict[str, str]) -> Iterator[LocalServer]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    with tempfile.TemporaryDirectory(prefix="tridet-allocator-") as folder:
        write_repository(Path(folder))
        # LocalServer's own argument could add a variable, not leave one out.
        with (
            patch.dict(ALLOCATOR, allocator, clear=True),
            patch.dict(os.environ, own, clear=True),
            LocalServer(folder) as server,
        ):
            yield server


async def _turn(
    server: LocalServer,
    transport: Transport,
    pictures: list[UInt8Array],
    calls: int,
    in_flight: int,
) -> tuple[float, float]:
    """Return images a second, and the server's CPU time in microseconds an image."""
    left = iter(range(calls))
    async with AsyncDetector(server.grpc_url, TRIDET, transport=transport) as detector:
        await detector(pictures[0])

        async def work() -> None:
            for number in left:
                await detector(pictures[number % len(pictures)])

        processes = process_tree(server.pid)
        cpu_s, started = cpu_seconds(processes), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        elapsed_s = time.perf_counter() - started
    return calls / elapsed_s, (cpu_seconds(processes) - cpu_s) / calls * 1e6


if __name__ == "__main__":
    program.run(main, "allocator_bench", ServeError, TridetError)
