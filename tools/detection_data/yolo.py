"""YOLO form: Ultralytics' data YAML, and a text file of labels beside each image."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ._types import DataError, Dataset, Fault, LabelledImage, Split
from .boxes import Row, as_array, checked

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
"""What the server reads."""


def read_yolo(file: Path) -> Dataset:
    """Read a data YAML and all its labels.

    Raises:
        DataError: no YAML of that kind, or none of its splits has an image.
    """
    settings = _settings(file)
    names = _names(file, settings)
    root = Path(settings.get("path") or "")
    if not (root := file.parent / root).is_dir():
        root = Path(settings["path"])  # as Ultralytics has it: from the working folder
    splits = tuple(
        _split(name, settings[name], root, names, file) for name in SPLITS if settings.get(name)
    )
    if not any(split.images for split in splits):
        raise DataError(f"{file}: expected images in {', '.join(SPLITS)} below {root}, found none")
    return Dataset(file, names, splits)


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: expected a data YAML: {reason}") from None
    if not isinstance(settings, dict) or "names" not in settings:
        raise DataError(f"{file}: expected a data YAML with names, train, val or test")
    return settings


def _names(file: Path, settings: dict[str, Any]) -> tuple[str, ...]:
    names = settings["names"]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{file}: names: expected the keys 0 to {len(names) - 1}")
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names: expected a list or index: name, got {names!r}")
    count = settings.get("nc", len(names))
    if count != len(names):
        raise DataError(f"{file}: expected nc {len(names)}, as there are names, got {count!r}")
    return tuple(map(str, names))


def _split(
    name: str, places: str | list[str], root: Path, names: tuple[str, ...], file: Path
) -> Split:
    images: list[LabelledImage] = []
    faults: list[Fault] = []
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            raise DataError(f"{file}: {name}: expected a folder or a list of them, got {place!r}")
        path = root / place
        # Many exported data sets say ../train/images where they mean train/images.
        if not path.exists() and place.startswith("../"):
            path = root / place[3:]
        if not path.exists():
            faults.append(Fault("error", "missing folder", file, f"{name}: no such path: {path}"))
            continue
        files = _listed(path) if path.is_file() else _found(path)
        if not files:
            faults.append(Fault("error", "no images", file, f"{name}: no image in {path}"))
        images += [_read(image, names) for image in files]
        if path.is_dir():
            faults += _orphans(path, files)
    return Split(name, tuple(images), tuple(faults))


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _listed(file: Path) -> list[Path]:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [file.parent / line for line in lines if line]


def labels_of(image: Path) -> Path:
    """Return where Ultralytics looks for an image's labels: ``labels`` for the last ``images``."""
    head, found, tail = str(image).rpartition(f"{os.sep}images{os.sep}")
    place = f"{head}{os.sep}labels{os.sep}{tail}" if found else str(image)
    return Path(place).with_suffix(".txt")


def _orphans(folder: Path, files: list[Path]) -> list[Fault]:
    labels = labels_of(folder / "any").parent
    if labels == folder or not labels.is_dir():
        return []
    wanted = {labels_of(image) for image in files}
    text = "no image belongs to these labels"
    orphans = (path for path in sorted(labels.rglob("*.txt")) if path not in wanted)
    return [Fault("warning", "labels without image", path, text) for path in orphans]


def _read(image: Path, names: tuple[str, ...]) -> LabelledImage:
    file = labels_of(image)
    rows: list[Row] = []
    faults: list[Fault] = []
    if not file.is_file():
        text = f"no {file.name}; it counts as an image without objects"
        faults.append(Fault("warning", "image without labels", image, text))
    else:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            faults.append(Fault("error", "unreadable labels", file, " ".join(str(error).split())))
            lines = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = _row(file, number, line)
                (rows if isinstance(row, Row) else faults).append(row)  # type: ignore[arg-type]
    usable, wrong = checked(file, rows, names)
    kept = [rows[index] for index in usable]
    return LabelledImage(
        path=image,
        class_ids=np.array([row.class_id for row in kept], dtype=np.int32),
        boxes=as_array(kept),
        in_fractions=True,
        faults=(*faults, *wrong),
    )


def _row(file: Path, number: int, line: str) -> Row | Fault:
    place = f"line {number}"
    try:
        values = [float(part) for part in line.split()]
    except ValueError:
        values = []
    polygon = len(values) >= 7 and len(values) % 2 == 1
    whole = bool(values) and math.isfinite(values[0]) and values[0].is_integer()
    if not whole or not all(map(math.isfinite, values)) or not (len(values) == 5 or polygon):
        text = f"{place}: expected a class id and four fractions, got {line.strip()[:60]!r}"
        return Fault("error", "malformed line", file, text)
    least, most = min(values[1:]), max(values[1:])
    if least < 0 or most > 1:
        outside = least if least < 0 else most
        text = f"{place}: expected fractions from 0 to 1, got {outside:g}"
        return Fault("error", "box out of range", file, text)
    if polygon:
        xs, ys = values[1::2], values[2::2]
        return Row(place, int(values[0]), (min(xs), min(ys), max(xs), max(ys)))
    x, y, w, h = values[1:]
    return Row(place, int(values[0]), (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
