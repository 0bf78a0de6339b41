#!/usr/bin/env python3
"""Measure a group of two detectors beside the two called singly, and print the ratios.

python tools/figures/group_figures.py --calls 60

The second detector is the first with other labels and slightly other weights: both cost the same.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
import onnx
from bench_pipelines.frames import SIZES, frames
from local_triton import LocalServer, ServeError
from onnx import numpy_helper
from tridet import Detections, Detector, Transport, TridetError
from tridet.transports import TRANSPORTS
from tridet_build.errors import BuildError
from tridet_build.manifest.groups import Group
from tridet_build.manifest.manifest import Manifest, load_manifest
from tridet_build.repository.render import write

_MODEL = Path(__file__).resolve().parents[2] / "models" / "pcb"
_WARM_UP = 5


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--model", type=click.Path(path_type=Path), default=_MODEL, help="Its folder.")
@click.option("--calls", type=click.IntRange(1), default=60, help="Calls of each kind, in turns.")
@click.option("--size", type=click.Choice(list(SIZES)), default="1080p")
@click.option("--transport", type=click.Choice(TRANSPORTS), default="auto")
def main(model: Path, calls: int, size: str, transport: Transport) -> None:
    """Measure a group of two detectors beside the two called singly."""
    first = load_manifest(model)
    frame = frames(size)[0]
    with tempfile.TemporaryDirectory() as folder:
        second = perturbed(first, Path(folder) / "second.onnx")
        group = Group("group", (first, second))
        write([first, second], Path(folder) / "repository", [group])
        with (
            LocalServer(Path(folder) / "repository") as server,
            Detector(server.grpc_url, group.name, transport=transport) as together,
            Detector(server.grpc_url, first.name, transport=transport) as one,
            Detector(server.grpc_url, second.name, transport=transport) as other,
            ThreadPoolExecutor(2) as pool,
        ):

            def at_once() -> list[Detections]:
                return list(pool.map(lambda detector: detector(frame), (one, other)))

            ways: dict[str, Callable[[], object]] = {
                "one request to the group": lambda: together(frame),
                "two requests, one after the other": lambda: (one(frame), other(frame)),
                "two requests at once": at_once,
            }
            taken_s = measured(ways, calls)
    group_s = median(taken_s["one request to the group"])
    for name, values in taken_s.items():
        ratio = median(values) / group_s
        print(f"{name}: {1000 * median(values):.1f} ms, {ratio:.2f} of the group's")


def measured(ways: dict[str, Callable[[], object]], calls: int) -> dict[str, list[float]]:
    """Call the ways in turn, and return the seconds of each call."""
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(_WARM_UP + calls):
        for name, call in ways.items():
            started = time.perf_counter()
            call()
            if turn >= _WARM_UP:
                taken_s[name].append(time.perf_counter() - started)
    return taken_s


def perturbed(manifest: Manifest, path: Path) -> Manifest:
    """Write the detector with other weights, and return its manifest, with other labels."""
    model = onnx.load(manifest.weights)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim == 4:
            noise = rng.normal(1, 0.02, weights.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights * noise, tensor.name))
    onnx.save(model, path)
    labels = tuple(f"other {label}" for label in manifest.labels)
    return replace(manifest, name="second", weights=path, labels=labels)


if __name__ == "__main__":
    program.run(main, "group_figures", BuildError, ServeError, TridetError)
