"""Measure what tiles find: recall on large boards, with the default detector on tritonserver.

python tools/figures/tiles_recall.py --boards 20
python tools/figures/tiles_recall.py --boards 5 --scene panel-2x2 --tiles 7x5

Prints one table: every board is looked at whole, and in tiles with and without the whole image.
An object counts as found if a box of its class overlaps it by an IoU of 0.5 or more.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import cv2
import numpy as np
import numpy.typing as npt
from local_triton import LocalServer, ServeError
from pcb_boards import draw_board
from rich.console import Console
from rich.progress import track
from tridet import Detections, Detector, TridetError
from tridet_build.manifest.manifest import load_manifest
from tridet_build.repository.render import write

_PCB = Path(__file__).resolve().parents[2] / "models" / "pcb"
# Boards of these seeds are in no data set: tools/boards.py numbers its own from 0, and its samples
# from 3,000,000.
_FIRST_SEED = 3_900_000
_SAME_IOU = 0.5


@dataclass(frozen=True)
class Scene:
    """A picture of ``count`` x ``count`` boards, each (width, height) in pixels."""

    count: int
    size: tuple[int, int]
    first_seed: int


SCENES = {
    "one board": Scene(1, (4000, 3000), _FIRST_SEED),
    "panel-2x2": Scene(2, (2000, 1500), _FIRST_SEED + 10_000),
    "panel-3x3": Scene(3, (1400, 1050), _FIRST_SEED + 20_000),
}
Truth = list[tuple[int, npt.NDArray[np.float64]]]
"""Class id and xyxy in pixels of each object."""


def draw(scene: Scene, index: int) -> tuple[npt.NDArray[np.uint8], Truth]:
    """Return the ``index``-th picture of a scene, uint8 [h, w, 3] BGR, and what is on it."""
    width, height = scene.size
    picture = np.zeros((height * scene.count, width * scene.count, 3), np.uint8)
    truth: Truth = []
    for place in range(scene.count**2):
        board = draw_board(scene.first_seed + 16 * index + place, size=scene.size)
        x, y = place % scene.count * width, place // scene.count * height
        picture[y : y + height, x : x + width] = board.image
        truth += [(d.class_id, np.add(d.box, [x, y, x, y])) for d in board.defects]
    return picture, truth


def hits(found: Detections, truth: Truth) -> int:
    """Return how many objects were found; each counts once."""
    left = list(truth)
    for detection in found:
        overlaps = [
            _iou(np.array(detection.box), box) if class_id == detection.class_id else 0.0
            for class_id, box in left
        ]
        if overlaps and max(overlaps) >= _SAME_IOU:
            left.pop(int(np.argmax(overlaps)))
    return len(truth) - len(left)


def _iou(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _draw_jpeg(job: tuple[str, int]) -> tuple[bytes, Truth]:
    cv2.setNumThreads(1)
    picture, truth = draw(SCENES[job[0]], job[1])
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes(), truth


def _pictures(name: str, boards: int, workers: int) -> Iterator[tuple[bytes, Truth]]:
    # Not forked: this process has the threads of gRPC.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_draw_jpeg, [(name, index) for index in range(boards)])


@click.command(
    help=__doc__, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.option("--boards", default=20, type=click.IntRange(min=1), help="Pictures per scene.")
@click.option("--scene", "scenes", multiple=True, type=click.Choice(list(SCENES)))
@click.option("--tiles", "grids", multiple=True, default=("2x2", "3x3"), metavar="COLUMNSxROWS")
@click.option("--overlap", default=0.2)
@click.option("--workers", default=2, type=click.IntRange(min=1), help="Drawing processes.")
def main(
    boards: int, scenes: tuple[str, ...], grids: tuple[str, ...], overlap: float, workers: int
) -> None:
    ways: dict[str, dict[str, Any]] = {"none": {}}
    for grid in grids:
        ways[grid] = {"tiles": grid, "overlap": overlap}
        ways[f"{grid}, no whole"] = {**ways[grid], "whole": False}
    print("| pictures | tiles | found | recall | false boxes | median ms |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as repository:
        write([load_manifest(_PCB)], Path(repository))
        with (
            LocalServer(repository) as server,
            Detector(server.grpc_url, "pcb", timeout_s=120) as detector,
        ):
            for name in scenes or SCENES:
                _print_rows(name, detector, ways, _pictures(name, boards, workers), boards)


def _print_rows(
    name: str,
    detector: Detector,
    ways: dict[str, dict[str, Any]],
    pictures: Iterator[tuple[bytes, Truth]],
    boards: int,
) -> None:
    found, false = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    times: dict[str, list[float]] = {way: [] for way in ways}
    objects = 0
    console = Console(file=sys.stderr)
    for content, truth in track(pictures, name, total=boards, console=console):
        objects += len(truth)
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        image = np.asarray(decoded, np.uint8)
        for way, options in ways.items():
            began = time.perf_counter()
            detections = detector(image, **options)
            times[way].append(time.perf_counter() - began)
            right = hits(detections, truth)
            found[way] += right
            false[way] += len(detections) - right
    for way in ways:
        print(
            f"| {name} | {way} | {found[way]} of {objects} | {found[way] / objects:.3f} "
            f"| {false[way]} | {1000 * statistics.median(times[way]):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    program.run(main, "tiles_recall", ServeError, TridetError)
