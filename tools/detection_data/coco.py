"""COCO form: one JSON file of images, annotations and categories."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ._types import DataError, Dataset, Fault, LabelledImage, Split
from .boxes import Row, as_array, checked


def read_coco(file: Path, images: Path | None) -> Dataset:
    """Read a COCO file; its one split has the file's name without its suffix.

    Args:
        file: the JSON file.
        images: the folder of its images; None looks for it where data sets usually have it.

    Raises:
        DataError: no COCO file, or none of its images is found.
    """
    content = _content(file)
    try:
        categories = sorted((entry["id"], str(entry["name"])) for entry in content["categories"])
        entries = [
            (entry["id"], str(entry["file_name"]), int(entry["width"]), int(entry["height"]))
            for entry in content["images"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: expected COCO images and categories: {error!r}") from None
    if not entries or not categories:
        raise DataError(f"{file}: expected images and categories, found none")
    for _, name, width, height in entries:
        if width < 1 or height < 1:
            raise DataError(f"{file}: {name}: expected a width and a height, got {width}, {height}")
    folder = _folder(file, images, entries[0][1])
    index = {category: number for number, (category, _) in enumerate(categories)}
    names = tuple(name for _, name in categories)
    notes: dict[Any, list[Any]] = defaultdict(list)
    faults: list[Fault] = []
    known = {entry[0] for entry in entries}
    for number, note in enumerate(content["annotations"], start=1):
        owner = note.get("image_id") if isinstance(note, dict) else None
        if owner in known:
            notes[owner].append((number, note))
        else:
            text = f"annotation {number}: expected the id of an image, got {owner!r}"
            faults.append(Fault("error", "labels without image", file, text))
    read = [
        _image(file, folder / name, (width, height), notes[image_id], index, names)
        for image_id, name, width, height in entries
    ]
    return Dataset(file, names, (Split(file.stem.lstrip("_"), tuple(read), tuple(faults)),))


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: expected a COCO file: {error}") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise DataError(f"{file}: expected a COCO file with the lists {', '.join(keys)}")
    return content


def _folder(file: Path, images: Path | None, first: str) -> Path:
    root = file.parent.parent
    stem = file.stem.removeprefix("instances_")
    usual = [file.parent, root / "images" / stem, root / stem, root / "images", root]
    places = [images] if images else usual
    for place in places:
        if (place / first).is_file():
            return place
    raise DataError(
        f"{file}: expected its image {first} in {', '.join(map(str, places))}, found none; "
        "name the folder with --images"
    )


def _image(
    file: Path,
    path: Path,
    size: tuple[int, int],
    notes: list[tuple[int, Any]],
    index: dict[Any, int],
    names: tuple[str, ...],
) -> LabelledImage:
    width, height = size
    rows: list[Row] = []
    areas: list[float] = []
    crowd: list[bool] = []
    faults: list[Fault] = []
    for number, note in notes:
        place = f"annotation {number} ({path.name})"
        try:
            x, y, w, h = map(float, note["bbox"])
            if not np.isfinite([x, y, w, h]).all():
                raise ValueError
            category = note["category_id"]
        except (KeyError, TypeError, ValueError):
            text = f"{place}: expected a category_id and a bbox of four numbers"
            faults.append(Fault("error", "malformed annotation", file, text))
            continue
        if category not in index:
            text = f"{place}: expected the id of a category, got {category!r}"
            faults.append(Fault("error", "class beyond names", file, text))
            continue
        box = (x / width, y / height, (x + w) / width, (y + h) / height)
        rows.append(Row(place, index[category], box))
        areas.append(float(note.get("area") or w * h))
        crowd.append(bool(note.get("iscrowd")))
    usable, wrong = checked(file, rows, names)
    return LabelledImage(
        path=path,
        class_ids=np.array([rows[i].class_id for i in usable], dtype=np.int32),
        boxes=as_array([rows[i] for i in usable]) * np.tile(size, 2),
        in_fractions=False,
        areas=np.array([areas[i] for i in usable], dtype=np.float64),
        crowd=np.array([crowd[i] for i in usable], dtype=np.bool_),
        stated_size=size,
        faults=(*faults, *wrong),
    )
