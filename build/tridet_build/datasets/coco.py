"""COCO form: one JSON file of images, annotations and categories."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tridet_build.datasets.boxes import Row, as_array, checked, names_twice
from tridet_build.datasets.dataset import Dataset, Fault, LabelledImage, Split
from tridet_build.datasets.images import roots_of
from tridet_build.errors import DataError

FILE_NAMES = ("annotations.json", "_annotations.coco.json")
"""What a COCO file is usually called that lies in the folder of its images."""
_MOST_SIDE = 2**31
"""No image that a library reads has a side of so many pixels."""


class _Entry(NamedTuple):
    """One of the images."""

    id: Any
    name: str
    width: int
    height: int


def read_coco(file: Path, images: Path | Sequence[Path] | None = None) -> Dataset:
    """Read a COCO file; its one split has the file's name without its suffix.

    Args:
        file: the JSON file.
        images: the folder of its images, or the image files themselves: then only these are read;
            None looks for the folder where data sets usually have it.

    Raises:
        DataError: no COCO file, or none of its images is found.
    """
    content = _content(file)
    entries, categories = _entries(file, content)
    names = tuple(name for _, name in categories)
    index = {category: number for number, (category, _) in enumerate(categories)}
    faults, doubtful = _entries_twice(file, entries)
    notes: dict[Any, list[Any]] = defaultdict(list)
    known = {entry.id for entry in entries}
    for number, note in enumerate(content["annotations"], start=1):
        owner = note.get("image_id") if isinstance(note, dict) else None
        if not isinstance(owner, int | float | str) or owner not in known:
            text = f"annotation {number}: expected the id of an image, got {owner!r}"
            faults.append(Fault("error", "labels without image", file, text))
        elif owner not in doubtful:
            notes[owner].append((number, note))
    if images is None or isinstance(images, Path):
        folder = _folder(file, images, [entry.name for entry in entries])
        paths: Mapping[str, Path] = {entry.name: folder / entry.name for entry in entries}
    else:
        paths = _among([entry.name for entry in entries], images)
    read = [
        _image(file, paths[entry.name], entry, notes[entry.id], index, names)
        for entry in entries
        if entry.name in paths
    ]
    split = Split(file.stem.lstrip("_"), tuple(read), tuple(faults))
    return Dataset(file, names, (split,), tuple(names_twice(file, names)))


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: expected a COCO file: {error}") from None
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise DataError(f"{file}: expected a COCO file with the lists {', '.join(keys)}")
    return content


def _entries(file: Path, content: dict[str, Any]) -> tuple[list[_Entry], list[tuple[Any, str]]]:
    """Return the images, and the categories' (id, name) by id."""
    try:
        categories = sorted((_id(entry), str(entry["name"])) for entry in content["categories"])
        entries = [
            _Entry(
                _id(entry),
                str(entry["file_name"]).replace("\\", "/"),  # written on Windows
                int(entry["width"]),
                int(entry["height"]),
            )
            for entry in content["images"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{file}: expected COCO images and categories: {error!r}") from None
    if not entries or not categories:
        raise DataError(f"{file}: expected images and categories, found none")
    for _, name, width, height in entries:
        if not (1 <= width < _MOST_SIDE and 1 <= height < _MOST_SIDE):
            raise DataError(f"{file}: {name}: expected a width and a height, got {width}, {height}")
    for category, count in Counter(category for category, _ in categories).items():
        if count > 1:
            raise DataError(f"{file}: expected one category of id {category!r}, got {count}")
    return entries, categories


def _id(entry: Any) -> Any:
    value = entry["id"]
    if not isinstance(value, int | float | str):
        raise TypeError(f"expected a number or a text as id, got {value!r}")
    return value


def _entries_twice(file: Path, entries: Iterable[_Entry]) -> tuple[list[Fault], set[Any]]:
    """Return faults, and the ids of several images: whose their annotations are nobody knows."""
    faults: list[Fault] = []
    ids: dict[Any, str] = {}
    names: set[str] = set()
    doubtful = set()
    for entry in entries:
        if entry.id in ids:
            doubtful.add(entry.id)
            text = f"{entry.name}: the id {entry.id!r} is that of {ids[entry.id]}, too"
            faults.append(Fault("error", "image id twice", file, text))
        if entry.name in names:
            text = f"{entry.name}: expected one entry of this image, got another"
            faults.append(Fault("error", "image listed twice", file, text))
        ids.setdefault(entry.id, entry.name)
        names.add(entry.name)
    return faults, doubtful


def _folder(file: Path, images: Path | None, names: Sequence[str]) -> Path:
    """Return the folder that has the most of the images."""
    root = file.parent.parent
    stem = file.stem.removeprefix("instances_")
    usual = [file.parent, root / "images" / stem, root / stem, root / "images", root]
    places = [images] if images else usual
    counts = [sum((place / name).is_file() for name in names) for place in places]
    if not any(counts):
        raise DataError(
            f"{file}: expected its image {names[0]} in {', '.join(map(str, places))}, found none; "
            "name the folder with --images"
        )
    return places[counts.index(max(counts))]


def _among(names: Sequence[str], images: Sequence[Path]) -> dict[str, Path]:
    """Match names with image files: below one folder or, where none fits, without folders.

    Names without their folders are matched only where there is no other of that name.
    """
    by_path = {os.path.normpath(image.absolute()): image for image in images}
    matches: list[dict[str, Path]] = []
    for root in roots_of(images):
        places = {name: os.path.normpath(root / name) for name in names}
        matches.append({n: by_path[place] for n, place in places.items() if place in by_path})
    best = max(matches, key=len, default={})
    if best:
        return best
    once = Counter(Path(name).name for name in set(names))
    by_name = Counter(image.name for image in images)
    alone = {image.name: image for image in images if by_name[image.name] == 1}
    return {
        name: alone[Path(name).name]
        for name in names
        if once[Path(name).name] == 1 and Path(name).name in alone
    }


def _image(
    file: Path,
    path: Path,
    entry: _Entry,
    notes: list[tuple[int, Any]],
    index: dict[Any, int],
    names: tuple[str, ...],
) -> LabelledImage:
    size = entry.width, entry.height
    rows: list[Row] = []
    areas: list[float] = []
    crowd: list[bool] = []
    faults: list[Fault] = []
    for number, note in notes:
        place = f"annotation {number} ({path.name})"
        try:
            x, y, w, h = map(float, note["bbox"])
            area = float(w * h if note.get("area") is None else note["area"])
            in_crowd = bool(int(note.get("iscrowd") or 0))
            if not np.isfinite([x, y, w, h, area]).all():
                raise ValueError
            category = _id({"id": note["category_id"]})
        except (KeyError, TypeError, ValueError, OverflowError):
            text = f"{place}: expected a category_id and a bbox of four numbers"
            faults.append(Fault("error", "malformed annotation", file, text))
            continue
        if category not in index:
            text = f"{place}: expected the id of a category, got {category!r}"
            faults.append(Fault("error", "class beyond names", file, text))
            continue
        box = np.array((x, y, x + w, y + h)) / np.tile(size, 2)
        written = (category, x, y, w, h, area, in_crowd)
        rows.append(Row(place, index[category], tuple(box.tolist()), written))
        areas.append(area)
        crowd.append(in_crowd)
    # What stands there twice are two objects for pycocotools, whose figures a COCO file is for.
    usable, wrong = checked(file, rows, names, once=False)
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
