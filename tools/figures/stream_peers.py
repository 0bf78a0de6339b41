"""Measure how fresh results are: `tridet.stream` beside Ultralytics' own streams, same cameras.

    python tools/figures/stream_peers.py --cameras 4 --fps 25 --seconds 30 --rounds 2

Needs the extra `full` for Ultralytics. Both read the same RTSP cameras and run the same ONNX in
ONNX Runtime on the CPU; what is measured is the age of a picture when its boxes are there, read off
the number in the picture. The two take turns, so that a drifting machine is fair to both.

Ultralytics runs with `stream_buffer` off (a newer frame takes an older one's place) and on (its
buffer of 30 frames per stream).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
from bench_pipelines.cpu_clock import cpu_seconds, process_tree
from local_triton import LocalServer, ServeError
from rtsp_cameras import CamerasError, RtspCameras, read_counter
from tridet.cli.console import stdout_console
from tridet_bench.latency import percentile
from tridet_bench.table import Table, number

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "models" / "pcb" / "pcb.onnx"
# Longer than any lag to be seen, for the number in the picture starts over.
LOOP_S = 40.0
_SETTLE_S = 10.0
WAYS = ("tridet", "ultralytics", "ultralytics, buffered")


@dataclass(slots=True)
class Run:
    """What one way did in all its rounds."""

    ages_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    seconds: float = 0.0


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--cameras", "count", type=click.IntRange(1, 16), default=4)
@click.option("--fps", type=click.IntRange(1, 60), default=25, help="Rate of each camera.")
@click.option("--seconds", type=click.IntRange(min=5), default=30, help="Seconds per turn.")
@click.option("--rounds", type=click.IntRange(min=1), default=2)
@click.option("--worker", type=click.Choice(WAYS), hidden=True)
@click.argument("arguments", nargs=-1)
def main(
    count: int, fps: int, seconds: int, rounds: int, worker: str | None, arguments: tuple[str, ...]
) -> None:
    """Measure the age of results."""
    if worker is not None:
        _work(worker, list(arguments))
        return
    runs = {way: Run() for way in WAYS}
    with ExitStack() as stack:
        cameras = stack.enter_context(RtspCameras(count, fps=fps, loop_s=LOOP_S))
        server = stack.enter_context(LocalServer(ROOT / "model_repository", models=["pcb"]))
        for _ in range(rounds):
            for way, run in runs.items():
                _measure(way, run, cameras, count, server, seconds)
    columns = (
        *("client", "results/s", "age p50 ms", "age p95 ms", "oldest ms"),
        *("CPU %", "CPU ms/result"),
    )
    rows = [
        (
            way,
            f"{len(run.ages_ms) / run.seconds:.1f}",
            *(number(percentile(run.ages_ms or [math.nan], rank), 0) for rank in (50, 95, 100)),
            f"{100 * run.cpu_s / run.seconds:.0f}",
            f"{1000 * run.cpu_s / max(1, len(run.ages_ms)):.0f}",
        )
        for way, run in runs.items()
    ]
    title = f"{count} cameras, 640 x 480, {fps} fps"
    stdout_console().print(Table(title, columns, rows).rich())


def _measure(
    way: str, run: Run, cameras: RtspCameras, count: int, server: LocalServer, seconds: int
) -> None:
    urls = [cameras.url(number) for number in range(count)]
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as results:
        command = [sys.executable, __file__, "--worker", way, results.name, server.grpc_url, *urls]
        client = subprocess.Popen(command)
        try:
            while not results.readline():  # the first result: all is loaded
                if client.poll() is not None:
                    raise click.ClickException(f"{way}: ended early, with {client.returncode}")
                time.sleep(0.1)
            time.sleep(_SETTLE_S)
            pids = [client.pid] if way != "tridet" else [client.pid, server.pid]
            trees = [pid for one in pids for pid in process_tree(one)]
            before, started = cpu_seconds(trees), time.time()
            time.sleep(seconds)
            run.cpu_s += cpu_seconds(trees) - before
            ended = time.time()
        finally:
            client.kill()
            client.wait()
        run.seconds += ended - started
        for line in results:
            if line.endswith("\n"):
                number, counter, at = json.loads(line)
                if started <= at <= ended and counter is not None:
                    run.ages_ms.append(1000 * cameras.age_s(number, counter, at))


def _work(way: str, arguments: list[str]) -> None:
    """Write camera, number in the picture and time of each result, a line of JSON each."""
    path, server_url, *urls = arguments
    found = _by_tridet(urls, server_url) if way == "tridet" else _by_ultralytics(urls, way)
    with Path(path).open("w", buffering=1) as file:
        for number, pixels in found:
            at = time.time()
            file.write(json.dumps([number, read_counter(pixels), at]) + "\n")


def _by_tridet(urls: list[str], server_url: str) -> Iterator[tuple[int, np.ndarray]]:
    import tridet

    with tridet.stream(urls, url=server_url, model="pcb") as results:
        numbers = {snapshot.source: number for number, snapshot in enumerate(results.stats())}
        for result in results:
            yield numbers[result.frame.source], result.frame.pixels


def _by_ultralytics(urls: list[str], way: str) -> Iterator[tuple[int, np.ndarray]]:
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "cameras.streams")
        listed.write_text("\n".join(urls))
        model = YOLO(WEIGHTS, task="detect")
        buffered = way.endswith("buffered")
        results = model.predict(
            str(listed),
            stream=True,
            stream_buffer=buffered,
            imgsz=640,
            rect=False,  # the ONNX takes squares
            device="cpu",
            verbose=False,
        )
        for index, result in enumerate(results):
            yield index % len(urls), result.orig_img


if __name__ == "__main__":
    program.run(main, "stream_peers", CamerasError, ServeError)
