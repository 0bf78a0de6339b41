"""Write detections as JSON, JSON lines, CSV, YOLO labels or COCO."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from tridet.detections import Detections
from tridet.files import atomic_text, write_bytes

STDOUT = "-"
FORMATS = ("json", "jsonl", "csv", "yolo", "coco")
Write: TypeAlias = Callable[[Detections, str], None]
"""Takes the detections of one image, and a relative path unique to it."""

_CSV_HEADER = ("source", "class_id", "name", "score", "x1", "y1", "x2", "y2", "width", "height")


@contextmanager
def open_writer(format: str, destination: str, labels: tuple[str, ...]) -> Iterator[Write]:
    """Open a writer of one of ``FORMATS``.

    A file appears when the block ends, complete, and not at all if it ends with an error.

    Args:
        format: of the output. For ``yolo`` the destination is a folder that gets a file per image,
            in the image's sub-folders: a line per object, ``class x_center y_center width height``,
            in fractions of the image.
        destination: a path, or ``-`` for stdout.
        labels: the model's class names.
    """
    if format == "yolo":
        folder = Path(destination)
        folder.mkdir(parents=True, exist_ok=True)
        yield lambda detections, name: _write_yolo(folder, detections, name)
        return
    with _open_text(destination) as file, _WRITERS[format](file, labels) as write:
        yield write


@contextmanager
def _open_text(destination: str) -> Iterator[TextIO]:
    if destination == STDOUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    with atomic_text(Path(destination)) as file:
        yield file


@contextmanager
def _json(file: TextIO, _labels: tuple[str, ...]) -> Iterator[Write]:
    """Write one array, an image a line."""
    separator = "[\n"

    def write(detections: Detections, _name: str) -> None:
        nonlocal separator
        file.write(separator + json.dumps(detections.to_dict()))
        separator = ",\n"

    yield write
    file.write("\n]\n" if separator == ",\n" else "[]\n")


@contextmanager
def _jsonl(file: TextIO, _labels: tuple[str, ...]) -> Iterator[Write]:
    """Write an object a line, at once, for a reader at the other end of a pipe."""

    def write(detections: Detections, _name: str) -> None:
        file.write(json.dumps(detections.to_dict()) + "\n")
        file.flush()

    yield write


@contextmanager
def _csv(file: TextIO, _labels: tuple[str, ...]) -> Iterator[Write]:
    """Write a line per object; an image without any has none."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(_CSV_HEADER)

    def write(detections: Detections, _name: str) -> None:
        image = detections.to_dict()
        for found in image["detections"]:
            what = (found["class_id"], found["name"], found["score"])
            table.writerow((image["source"], *what, *found["box"], image["width"], image["height"]))

    yield write


@contextmanager
def _coco(file: TextIO, labels: tuple[str, ...]) -> Iterator[Write]:
    """Write one COCO data set; a category's id is the class id, boxes are x, y, width, height."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []

    def write(detections: Detections, _name: str) -> None:
        image = detections.to_dict()
        image_id = len(images) + 1
        size = {"width": image["width"], "height": image["height"]}
        images.append({"id": image_id, "file_name": image["source"], **size})
        for found in image["detections"]:
            x1, y1, x2, y2 = found["box"]
            width, height = round(x2 - x1, 3), round(y2 - y1, 3)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": found["class_id"],
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 3),
                    "iscrowd": 0,
                    "score": found["score"],
                }
            )

    yield write
    categories = [{"id": index, "name": name} for index, name in enumerate(labels)]
    json.dump({"images": images, "annotations": annotations, "categories": categories}, file)
    file.write("\n")


def _write_yolo(folder: Path, detections: Detections, name: str) -> None:
    width, height = detections.image_size
    lines = [
        f"{found.class_id} {(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f} "
        f"{(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}\n"
        for found in detections
        for x1, y1, x2, y2 in (found.box,)
    ]
    path = (folder / name).with_suffix(".txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, "".join(lines).encode())


_Writer: TypeAlias = Callable[[TextIO, tuple[str, ...]], AbstractContextManager[Write]]
_WRITERS: dict[str, _Writer] = {"json": _json, "jsonl": _jsonl, "csv": _csv, "coco": _coco}
