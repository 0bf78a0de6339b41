"""Overload on the real server: what is served, how late, and what a refusal costs.

    python tools/figures/overload.py [--seconds 15] [--only closed-256,open-10]

The detector takes a known time for a batch and no core, so what the server can do is known; first
it is measured, with as many clients as make full batches. After each case, recovery is how long it
takes until a lone request is served at once again.
"""

from __future__ import annotations

import asyncio
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
from local_triton import LocalServer, ServeError
from tridet import AsyncDetector, Overloaded, TimedOut, TridetError
from tridet.cli.options import some_of
from tridet_bench.table import Table
from tridet_build import steps
from tridet_build.manifest.manifest import Batch, Instances, Manifest, ServingLimits
from tridet_build.repository import configs
from tridet_build.repository.render import render

NAME = "slow"
BATCH = 4
BATCH_S = 0.1
NOMINAL = BATCH / BATCH_S
"""Frames a second, if the steps around the detector cost nothing."""
FRAME = np.zeros((360, 640, 3), np.uint8)
_MODEL = Path(__file__).with_name("slow_detector.py")


@dataclass
class Seen:
    """What the clients of one case saw; times in seconds."""

    served: list[tuple[float, float]] = field(default_factory=list)
    """When each answer came, since the start, and how long it took."""
    refused: list[float] = field(default_factory=list)
    timed_out: int = 0
    cancelled: int = 0
    by_client: list[int] = field(default_factory=list)


Case = Callable[[AsyncDetector, float], Awaitable[Seen]]


async def _once(detector: AsyncDetector, seen: Seen, start: float, limit_s: float) -> bool:
    sent = time.monotonic()
    try:
        await detector(FRAME, timeout_s=limit_s)
    except Overloaded:
        seen.refused.append(time.monotonic() - sent)
    except TimedOut:
        seen.timed_out += 1
    else:
        now = time.monotonic()
        seen.served.append((now - start, now - sent))
        return True
    return False


def closed(clients: int, limit_s: float) -> Case:
    """So many clients; each asks again at once when served, after 50 ms when refused."""

    async def run(detector: AsyncDetector, seconds: float) -> Seen:
        seen = Seen(by_client=[0] * clients)
        start = time.monotonic()

        async def client(number: int) -> None:
            while time.monotonic() - start < seconds:
                if await _once(detector, seen, start, limit_s):
                    seen.by_client[number] += 1
                else:
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(client(number) for number in range(clients)))
        return seen

    return run


def opened(times: float, limit_s: float, cancel: float = 0.0) -> Case:
    """Poisson arrivals at so many times what the server can do; a share gives up on the way."""

    async def run(detector: AsyncDetector, seconds: float) -> Seen:
        seen, chance, tasks = Seen(), random.Random(0), []
        start = arrival = time.monotonic()
        while (arrival := arrival + chance.expovariate(NOMINAL * times)) - start < seconds:
            await asyncio.sleep(max(0, arrival - time.monotonic()))
            task = asyncio.create_task(_once(detector, seen, start, limit_s))
            if chance.random() < cancel:
                asyncio.get_running_loop().call_later(chance.uniform(0, limit_s), task.cancel)
            tasks.append(task)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        seen.cancelled = sum(isinstance(one, asyncio.CancelledError) for one in ended)
        return seen

    return run


CASES: dict[str, tuple[float, Case]] = {
    "capacity": (10.0, closed(3 * BATCH, 10)),
    "closed-64": (10.0, closed(64, 10)),
    "closed-256": (10.0, closed(256, 10)),
    "closed-64-1s": (1.0, closed(64, 1)),
    "closed-256-1s": (1.0, closed(256, 1)),
    "open-2": (10.0, opened(2, 10)),
    "open-10": (10.0, opened(10, 10)),
    "open-2-1s": (1.0, opened(2, 1)),
    "open-10-1s": (1.0, opened(10, 1)),
    "open-2-1s-cancel-30%": (1.0, opened(2, 1, cancel=0.3)),
}


def write_repository(root: Path, batch_s: float = BATCH_S) -> None:
    """Write the repository of the slow detector under ``root``, as tridet renders it."""
    weights = root / "none.onnx"
    weights.write_bytes(b"only its hash is shown")
    manifest = Manifest(
        name=NAME,
        weights=weights,
        labels=("nothing",),
        batch=Batch(opt=1, max=BATCH),
        instances=Instances(preprocess=2, detector=1, nms=1),
        limits=ServingLimits(max_in_flight=512, max_wait_s=10.0),
    )
    detector = configs.detector_name(NAME)
    files = render([manifest])
    config = configs.detector_config(manifest, "python")
    config.parameters["batch_s"].string_value = str(batch_s)
    files[f"{detector}/configs/python.pbtxt"] = configs.to_text(config).encode()
    files[f"{detector}/1/model.py"] = _MODEL.read_bytes()
    tensors = Path(steps.__file__).with_name("tensors.py")
    files[f"{detector}/1/tridet_tensors.py"] = tensors.read_bytes()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def measure(
    url: str, name: str, seconds: float, capacity: float | None
) -> tuple[float, tuple[str, ...]]:
    """Run one case; return frames served a second, and its row of the table."""
    limit_s, case = CASES[name]
    async with AsyncDetector(url, NAME, retries=0, timeout_s=60) as detector:
        await detector(FRAME)
        seen = await case(detector, seconds)
        ended = time.monotonic()
        while True:
            sent = time.monotonic()
            try:
                await detector(FRAME, timeout_s=60)
                if time.monotonic() - sent < 3 * BATCH_S:
                    break
            except Overloaded:
                await asyncio.sleep(0.01)
        recovered_s = sent - ended
    # The first second fills the queue; what comes after the last arrival is not under load.
    left_s, took_s = np.array(seen.served).T
    steady = (left_s > min(limit_s, seconds / 3)) & (left_s < seconds)
    span_s = seconds - min(limit_s, seconds / 3)
    rate = steady.sum() / span_s
    p50, p99 = np.quantile(took_s[steady], [0.5, 0.99])
    refused_ms = np.array(seen.refused or [0.0]) * 1e3
    least = f"{min(seen.by_client)} to {max(seen.by_client)}" if seen.by_client else ""
    return rate, (
        name,
        f"{limit_s:g}",
        f"{rate / (capacity or rate):.2f}",
        f"{p50:.2f}",
        f"{p99:.2f}",
        f"{took_s.max():.2f}",
        str(len(seen.refused)),
        f"{np.median(refused_ms):.1f}",
        f"{np.quantile(refused_ms, 0.99):.1f}",
        str(seen.timed_out),
        str(seen.cancelled),
        f"{recovered_s:.2f}",
        least,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--seconds", default=15.0, help="How long each case runs.")
@click.option("--only", type=some_of(CASES), default=tuple(CASES), help="Some of the cases.")
def main(seconds: float, only: list[str]) -> None:
    """Measure overload on the real server, with a detector of known cost."""
    names = list(dict.fromkeys(["capacity", *only]))
    rows: list[tuple[str, ...]] = []
    capacity = None
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder))
        with LocalServer(folder) as server:
            for name in names:
                rate, row = asyncio.run(measure(server.grpc_url, name, seconds, capacity))
                capacity = capacity or rate
                rows.append(row)
                click.echo(" | ".join(row))
    columns = (
        *("case", "limit s", "served / capacity", "p50 s", "p99 s", "max s", "refused"),
        *("refusal p50 ms", "p99 ms", "timed out", "cancelled", "recovery s", "per client"),
    )
    click.echo(f"\nCapacity {capacity:.1f}/s: {shlex.join(['python', *sys.argv])}\n")
    click.echo(Table("Overload", columns, rows).markdown())


if __name__ == "__main__":
    program.run(main, "overload", ServeError, TridetError)
