"""Write data sets: YOLO and COCO annotations, splits that share no board, all or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2

from .board import draw_board
from .types import CLASS_NAMES, Board

SPLITS = ("train", "val", "test")
# Each (seed, split) pair owns a block of this many board seeds; a split may not be larger.
MAX_BOARDS_PER_SPLIT = 1_000_000
_BLOCKS = len(SPLITS) + 1  # the last block is for the samples


class BoardsError(ValueError):
    """A request that cannot be met; the message is one line for the user."""


@dataclass(frozen=True)
class SplitPlan:
    """The boards of one split. seeds[i] is defect-free where clean[i]."""

    name: str
    seeds: range
    clean: tuple[bool, ...]


# The six boards shipped with the default detector: (index in the samples block, width, height, mask
# colour, with defects). Their seeds are in no split of any data set.
SAMPLES: tuple[tuple[int, int, int, str, bool], ...] = (
    (27, 1280, 960, "green", True),
    (32, 1920, 1080, "blue", True),
    (69, 960, 960, "red", True),
    (88, 640, 480, "black", True),
    (102, 1200, 1600, "white", True),
    (5, 2000, 1333, "purple", False),
)
SAMPLE_BYTES = 280_000  # they are committed to the repository


def plan_splits(seed: int, counts: dict[str, int], clean_fraction: float) -> list[SplitPlan]:
    """Give every split its own board seeds and say which of its boards are defect-free."""
    if seed < 0:
        raise BoardsError(f"--seed must be 0 or more, got {seed}")
    if not 0 <= clean_fraction <= 1:
        raise BoardsError(f"--clean-fraction must be between 0 and 1, got {clean_fraction}")
    plans = []
    for block, name in enumerate(SPLITS):
        count = counts.get(name, 0)
        if not 0 <= count <= MAX_BOARDS_PER_SPLIT:
            raise BoardsError(f"--{name} must be between 0 and {MAX_BOARDS_PER_SPLIT}, got {count}")
        start = (seed * _BLOCKS + block) * MAX_BOARDS_PER_SPLIT
        # Spread evenly, so that every prefix of a split has the same share of defect-free boards.
        clean = tuple(int((i + 1) * clean_fraction) > int(i * clean_fraction) for i in range(count))
        plans.append(SplitPlan(name, range(start, start + count), clean))
    if not any(plan.seeds for plan in plans):
        raise BoardsError("nothing to draw: --train, --val and --test are all 0")
    all_seeds = [s for plan in plans for s in plan.seeds]
    assert len(all_seeds) == len(set(all_seeds)), "splits share a board"
    return plans


def write_dataset(
    out: Path,
    plans: list[SplitPlan],
    *,
    workers: int,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw every planned board under `out`, which appears only when everything is written.

    progress: called with (boards done, boards in all).
    """
    if workers < 1:
        raise BoardsError(f"--workers must be 1 or more, got {workers}")
    total, done = sum(len(plan.seeds) for plan in plans), 0
    with _all_or_nothing(out, overwrite) as folder:
        for plan in plans:
            if not plan.seeds:
                continue
            for kind in ("images", "labels"):
                (folder / kind / plan.name).mkdir(parents=True)
            records = []
            jobs = [
                (s, c, str(folder), plan.name) for s, c in zip(plan.seeds, plan.clean, strict=True)
            ]
            for record in _map(_write_one, jobs, workers):
                records.append(record)
                done += 1
                if progress:
                    progress(done, total)
            (folder / "annotations").mkdir(exist_ok=True)
            _write_json(folder / "annotations" / f"{plan.name}.json", coco_from_records(records))
        (folder / "data.yaml").write_text(_data_yaml(plans))


def write_samples(out: Path, *, overwrite: bool = False) -> None:
    """Draw the six sample boards with their ground truth in annotations.json."""
    start = len(SPLITS) * MAX_BOARDS_PER_SPLIT
    with _all_or_nothing(out, overwrite) as folder:
        records = []
        for index, width, height, color, defective in SAMPLES:
            board = draw_board(
                start + index, defects=defective, size=(width, height), mask_color=color
            )
            name = f"board-{color.replace(' ', '-')}-{width}x{height}.jpg"
            _write_jpeg(folder / name, board, board.jpeg_quality, SAMPLE_BYTES)
            records.append(_record(name, board))
        _write_json(folder / "annotations.json", coco_from_records(records))


def yolo_from_board(board: Board) -> str:
    """One line a defect: class, centre x, centre y, width, height as fractions of the image."""
    height, width = board.image.shape[:2]
    lines = []
    for defect in board.defects:
        x0, y0, x1, y1 = defect.box
        numbers = (
            (x0 + x1) / 2 / width,
            (y0 + y1) / 2 / height,
            (x1 - x0) / width,
            (y1 - y0) / height,
        )
        lines.append(f"{defect.class_id} " + " ".join(f"{n:.6f}" for n in numbers))
    return "".join(line + "\n" for line in lines)


def coco_from_records(records: list[dict[str, Any]]) -> dict[str, Any]:
    """COCO json. Category ids are the class indices 0..5, as in YOLO labels and the network."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, start=1):
        size = {"width": record["width"], "height": record["height"]}
        images.append(
            {"id": image_id, "file_name": record["file_name"], **size, "seed": record["seed"]}
        )
        for class_id, (x0, y0, x1, y1) in record["boxes"]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": class_id,
                    "bbox": [round(v, 2) for v in (x0, y0, x1 - x0, y1 - y0)],
                    "area": round((x1 - x0) * (y1 - y0), 2),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": "Synthetic bare boards drawn by tools/boards.py"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES)],
    }


def _write_one(job: tuple[int, bool, str, str]) -> dict[str, Any]:
    seed, clean, folder, split = job
    cv2.setNumThreads(1)  # one process a core already; OpenCV's own threads would only fight
    board = draw_board(seed, defects=not clean)
    name = f"{seed:09d}.jpg"
    _write_jpeg(Path(folder, "images", split, name), board, board.jpeg_quality)
    Path(folder, "labels", split, f"{seed:09d}.txt").write_text(yolo_from_board(board))
    return _record(name, board)


def _record(name: str, board: Board) -> dict[str, Any]:
    height, width = board.image.shape[:2]
    boxes = [(defect.class_id, defect.box) for defect in board.defects]
    return {"file_name": name, "width": width, "height": height, "seed": board.seed, "boxes": boxes}


def _write_jpeg(path: Path, board: Board, quality: int, most_bytes: int | None = None) -> None:
    """Write the image; with `most_bytes`, at the first lower quality that fits."""
    for q in range(quality, 40, -3):
        good, data = cv2.imencode(".jpg", board.image, [cv2.IMWRITE_JPEG_QUALITY, q])
        if not good:
            raise BoardsError(f"OpenCV could not encode {path.name}")
        if most_bytes is None or len(data) <= most_bytes:
            break
    path.write_bytes(data.tobytes())


def _map(
    function: Callable[[tuple[int, bool, str, str]], dict[str, Any]],
    jobs: list[tuple[int, bool, str, str]],
    workers: int,
) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from map(function, jobs)
        return
    # Not forked: the caller may have threads, whose locks a forked child would inherit.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs, chunksize=8)


def _data_yaml(plans: list[SplitPlan]) -> str:
    # No "path": Ultralytics then takes the folder of the yaml itself, so a data set can be moved.
    lines = [f"{plan.name}: images/{plan.name}" for plan in plans if plan.seeds]
    lines += ["names:"] + [f"  {i}: {name}" for i, name in enumerate(CLASS_NAMES)]
    return "\n".join(lines) + "\n"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


@contextmanager
def _all_or_nothing(out: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out` that takes its place at the end, or vanishes if anything fails."""
    if out.exists() and not out.is_dir():
        raise BoardsError(f"{out} exists and is not a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise BoardsError(f"{out} is not empty; add --overwrite to replace it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise BoardsError(f"cannot write to {out.parent}: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp's folders are private
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
