"""Measure `tridet stream` on RTSP cameras: latency, drops, CPU time and memory over time.

    python tools/figures/stream_bench.py --cameras 8 --fps 25 --seconds 600 [--detector pcb]

Cameras, tritonserver and the client are processes of their own on this machine. Latency is that of
each frame, from its capture to its detections, as the client writes it with --jsonl. What follows
`--` is passed to `tridet stream`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
from bench_pipelines.cpu_clock import cpu_seconds, process_tree
from bench_pipelines.repository import TRIDET, write_repository
from local_triton import LocalServer, ServeError
from rtsp_cameras import CamerasError, RtspCameras
from tridet.cli.console import stdout_console
from tridet_bench.latency import percentile
from tridet_bench.table import Table, number

_MAIN = [sys.executable, "-c", "from tridet.cli.main import main; main()"]
_REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
_SETTLE_S = 5.0


@dataclass(slots=True)
class Sample:
    """Numbers of the processes at one time."""

    at: float
    """Seconds since the epoch."""
    cpu_s: dict[str, float]
    """So far, by process."""
    rss_mb: float
    """Of the client."""


@dataclass(slots=True)
class Interval:
    """What happened between two samples."""

    seconds: float
    cpu_s: dict[str, float]
    rss_mb: float
    latencies_ms: list[float] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)

    def row(self, start_s: float) -> tuple[str, ...]:
        """Return the cells of the table."""
        latencies_ms = self.latencies_ms or [0.0]
        return (
            f"{start_s:.0f} s",
            f"{len(self.latencies_ms) / self.seconds:.1f}",
            number(percentile(latencies_ms, 50), 1),
            number(percentile(latencies_ms, 95), 1),
            ", ".join(f"{count} {cause}" for cause, count in sorted(self.drops.items())) or "0",
            *(f"{100 * seconds / self.seconds:.0f}" for seconds in self.cpu_s.values()),
            f"{self.rss_mb:.0f}",
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--cameras", "count", type=click.IntRange(1, 64), default=8)
@click.option("--fps", type=click.IntRange(1, 60), default=25, help="Rate of each camera.")
@click.option("--seconds", type=click.IntRange(min=10), default=60, help="How long to measure.")
@click.option("--every", type=click.IntRange(min=1), default=60, help="Seconds per row.")
@click.option("--width", type=click.IntRange(160, 3840), default=640)
@click.option("--height", type=click.IntRange(120, 2160), default=480)
@click.option(
    "--detector", type=click.Choice(["stub", "pcb"]), default="stub", help="pcb is the real one."
)
@click.argument("options", nargs=-1)
def main(
    count: int,
    fps: int,
    seconds: int,
    every: int,
    width: int,
    height: int,
    detector: str,
    options: tuple[str, ...],
) -> None:
    """Measure `tridet stream` with OPTIONS on RTSP cameras."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stream-bench-")))
        size = (width // 2 * 2, height // 2 * 2)
        cameras = stack.enter_context(RtspCameras(count, size=size, fps=fps))
        repository, model = _REPOSITORY, detector
        if detector == "stub":
            repository, model = folder / "repository", TRIDET
            repository.mkdir()
            write_repository(repository)
        server = stack.enter_context(LocalServer(repository, models=[model]))
        urls = [cameras.url(number) for number in range(count)]
        command = [*_MAIN, "stream", *urls, "--url", server.grpc_url, "--model", model, "--quiet"]
        files = folder / "results.jsonl", folder / "stats.jsonl"
        command += ["--jsonl", str(files[0]), "--stats", str(files[1]), *options]
        with _client(command) as client:
            time.sleep(_SETTLE_S)
            pids = {"client": client.pid, "server": server.pid, "cameras": cameras.pid}
            samples = [_sample(pids)]
            until = samples[0].at + seconds
            while (left_s := until - time.time()) > 0.1 and client.poll() is None:
                time.sleep(min(every, left_s))
                samples.append(_sample(pids))
            if client.poll() is not None:
                raise click.ClickException(f"tridet stream ended early, with {client.returncode}")
        intervals = _intervals(samples, *files)
    title = f"{count} cameras, {size[0]} x {size[1]}, {fps} fps, {detector}"
    _show(title, intervals)


@contextmanager
def _client(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _sample(pids: dict[str, int]) -> Sample:
    status = Path(f"/proc/{pids['client']}/status").read_text()
    rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")
    cpu_s = {name: cpu_seconds(process_tree(pid)) for name, pid in pids.items()}
    return Sample(time.time(), cpu_s, rss_kb / 1024)


def _intervals(samples: list[Sample], results: Path, stats: Path) -> list[Interval]:
    intervals = [
        Interval(
            after.at - before.at,
            {name: after.cpu_s[name] - before.cpu_s[name] for name in after.cpu_s},
            after.rss_mb,
        )
        for before, after in pairwise(samples)
    ]
    edges = [sample.at for sample in samples]

    def interval_at(text: str) -> Interval | None:
        number = int(np.searchsorted(edges, _seconds(text))) - 1
        return intervals[number] if 0 <= number < len(intervals) else None

    with results.open() as lines:
        for line in lines:
            result = json.loads(line)
            if (interval := interval_at(result["captured_at"])) is not None:
                interval.latencies_ms.append(result["latency_ms"])
    before: dict[str, Counter[str]] = {}
    with stats.open() as lines:
        for line in lines:
            snapshot = json.loads(line)
            drops = Counter(snapshot["drops"])
            if (interval := interval_at(snapshot["at"])) is not None:
                interval.drops += drops - before.get(snapshot["source"], Counter())
            before[snapshot["source"]] = drops
    return intervals


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _show(title: str, intervals: list[Interval]) -> None:
    columns = (
        *("from", "results/s", "p50 ms", "p95 ms", "dropped"),
        *("client CPU %", "server CPU %", "cameras CPU %", "client RSS MB"),
    )
    rows, start_s = [], 0.0
    for interval in intervals:
        rows.append(interval.row(start_s))
        start_s += interval.seconds
    stdout_console().print(Table(title, columns, rows, text_columns=0).rich())


if __name__ == "__main__":
    program.run(main, "stream_bench", CamerasError, ServeError)
