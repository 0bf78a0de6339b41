"""YOLO form: Ultralytics' data YAML, and a text file of labels beside each image.

What Ultralytics leaves out of the training as corrupt is an error here, so that nobody measures
with less than was labelled; ``tests/build/datasets/test_yolo.py`` compares the two.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from tridet.cli.image_files import files_under, images_among

from tridet_build.datasets.boxes import Row, as_array, checked, names_twice
from tridet_build.datasets.dataset import Dataset, Fault, LabelledImage, Split
from tridet_build.errors import DataError

SPLITS = ("train", "val", "test")
# What Ultralytics trains with, as far as the server reads it, and what it does not.
_TRAINED_WITH = (".avif", ".bmp", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp")
_UNREAD_SUFFIXES = (".dng", ".heic", ".heif")
# What Ultralytics lets a coordinate be beyond 0 and 1: tools round.
_TOLERANCE = np.float32(0.01)


def read_yolo(file: Path) -> Dataset:
    """Read a data YAML and all its labels.

    Raises:
        DataError: no YAML of that kind, or none of its splits has an image.
    """
    settings = _settings(file)
    names = _names(file, settings)
    keypoints = _keypoint_columns(file, settings)
    root = _root(file, settings)
    faults = names_twice(file, names)
    missing = [name for name in ("train", "val") if name not in settings]
    if missing:
        text = f"expected train and val, as Ultralytics does, found {', '.join(map(str, settings))}"
        faults.append(Fault("warning", "missing split", file, text))
    splits = tuple(
        _split(name, settings[name], root, names, keypoints, file)
        for name in SPLITS
        if settings.get(name)
    )
    if not any(split.images for split in splits):
        raise DataError(f"{file}: expected images in {', '.join(SPLITS)} below {root}, found none")
    return Dataset(file, names, splits, tuple(faults))


def labels_of(image: Path) -> Path:
    """Return where Ultralytics looks for an image's labels: ``labels`` for the last ``images``."""
    head, found, tail = str(image.absolute()).rpartition(f"{os.sep}images{os.sep}")
    place = Path(f"{head}{os.sep}labels{os.sep}{tail}") if found else image
    return place.with_suffix(".txt")


def images_at(path: Path) -> list[Path]:
    """Return the images of a split: all under a folder, or those in a list, one path a line.

    A list's paths are relative to where it lies or else, as for Ultralytics, to where we are.

    Raises:
        OSError, ValueError: no list can be read.
    """
    if path.is_dir():
        return images_among(files_under(path), _TRAINED_WITH)
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    paths = [(path.parent / line, Path(line)) for line in lines if line]
    return [here if here.is_file() or not there.is_file() else there for here, there in paths]


def read_labels(
    image: Path, file: Path, names: tuple[str, ...], keypoint_columns: int = 0
) -> LabelledImage:
    """Read the labels of one image; without the file it counts as one without objects.

    Args:
        image: the image file; it is not opened.
        file: its labels, lines of a class id and either a box (centre, width and height) or a
            polygon's corners, in fractions of the image's sides; not both in one file.
        names: of the classes.
        keypoint_columns: how many numbers of keypoints may follow a box.
    """
    rows: list[Row] = []
    faults: list[Fault] = []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else None
    except (OSError, ValueError) as error:
        faults.append(Fault("error", "unreadable labels", file, " ".join(str(error).split())))
        lines = []
    if lines is None:
        text = f"no {file.name}; it counts as an image without objects"
        faults.append(Fault("warning", "image without labels", image, text))
    objects = {number: line.split() for number, line in enumerate(lines or (), start=1)}
    for number, columns in objects.items():
        if keypoint_columns and len(columns) == 5 + keypoint_columns:
            objects[number] = columns[:5]
    widths = {len(columns) for columns in objects.values()}
    if 5 in widths and max(widths) > 6:
        text = "expected boxes alone or polygons alone, got both; Ultralytics leaves the image out"
        faults.append(Fault("error", "boxes and polygons", file, text))
    for number, columns in objects.items():
        if columns:
            row = _row(file, f"line {number}", columns)
            (rows if isinstance(row, Row) else faults).append(row)  # type: ignore[arg-type]
    usable, wrong = checked(file, rows, names, once=True)
    kept = [rows[index] for index in usable]
    return LabelledImage(
        path=image,
        class_ids=np.array([row.class_id for row in kept], dtype=np.int32),
        boxes=as_array(kept),
        in_fractions=True,
        faults=(*faults, *wrong),
    )


def _row(file: Path, place: str, columns: list[str]) -> Row | Fault:
    try:
        values = [float(column) for column in columns]
    except ValueError:
        values = []
    polygon = len(values) >= 7 and len(values) % 2 == 1
    whole = bool(values) and math.isfinite(values[0]) and values[0].is_integer()
    if not whole or not all(map(math.isfinite, values)) or not (len(values) == 5 or polygon):
        got = " ".join(columns)[:60]
        text = f"{place}: expected a class id and four fractions, got {got!r}"
        return Fault("error", "malformed line", file, text)
    if polygon:
        xs, ys = values[1::2], values[2::2]
        x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
        x, y, w, h = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    else:
        x, y, w, h = values[1:]
        x1, y1, x2, y2 = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    # float32, as Ultralytics has them: the same verdict at the very edge, the same rows twice.
    with np.errstate(over="ignore"):
        least, most = np.float32(min(x, y)), np.float32(max(x, y, w, h))
        written = tuple(map(np.float32, values))
    if least < -_TOLERANCE or min(w, h) < 0 or most > 1 + _TOLERANCE:
        outside = max(x, y, w, h) if most > 1 + _TOLERANCE else min(x, y, w, h)
        text = f"{place}: expected fractions from 0 to 1, got {outside}"
        return Fault("error", "box out of range", file, text)
    return Row(place, int(values[0]), (x1, y1, x2, y2), written)


def _settings(file: Path) -> dict[str, Any]:
    import yaml  # comes with tridet; a gate on labels without a YAML does not need it

    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: expected a data YAML: {reason}") from None
    if not isinstance(settings, dict) or (
        settings.get("names") is None and settings.get("nc") is None
    ):
        raise DataError(f"{file}: expected a data YAML with names, train, val or test")
    if "val" not in settings and "validation" in settings:
        settings["val"] = settings.pop("validation")
    return settings


def _names(file: Path, settings: dict[str, Any]) -> tuple[str, ...]:
    names, count = settings.get("names"), settings.get("nc")
    if count is not None:
        try:
            number = float(count)
            if not number.is_integer():
                raise ValueError
        except (TypeError, ValueError):
            raise DataError(f"{file}: nc: expected a whole number, got {count!r}") from None
        count = int(number)
        if names is None:
            names = [f"class_{index}" for index in range(count)]
    if isinstance(names, dict):
        try:
            by_index = {int(index): name for index, name in names.items()}
        except (TypeError, ValueError):
            by_index = {}
        if len(by_index) < len(names) or sorted(by_index) != list(range(len(names))):
            raise DataError(
                f"{file}: names: expected the keys 0 to {len(names) - 1}, each once, got "
                f"{', '.join(map(repr, names))}"
            )
        names = [by_index[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names: expected a list or index: name, got {names!r}")
    if count not in (None, len(names)):
        raise DataError(f"{file}: expected nc {len(names)}, as there are names, got {count!r}")
    return tuple(map(str, names))


def _keypoint_columns(file: Path, settings: dict[str, Any]) -> int:
    shape = settings.get("kpt_shape") or (0, 0)
    if not isinstance(shape, list | tuple) or [type(side) for side in shape] != [int, int]:
        raise DataError(f"{file}: kpt_shape: expected two whole numbers, got {shape!r}")
    return int(shape[0] * shape[1])


def _root(file: Path, settings: dict[str, Any]) -> Path:
    path = settings.get("path") or ""
    if not isinstance(path, str):
        raise DataError(f"{file}: path: expected a folder, got {path!r}")
    beside = file.parent / path
    return beside if beside.is_dir() else Path(path)  # as Ultralytics has it: from where we are


def _split(
    name: str,
    places: str | list[str],
    root: Path,
    names: tuple[str, ...],
    keypoints: int,
    file: Path,
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
        # The labels of a linked folder are where it really is.
        path = path.resolve()
        try:
            files = images_at(path)
        except (OSError, ValueError) as error:
            text = f"{name}: expected a list of images: {' '.join(str(error).split())}"
            faults.append(Fault("error", "unreadable list", path, text))
            continue
        if not files:
            faults.append(Fault("error", "no images", file, f"{name}: no image in {path}"))
        images += [read_labels(image, labels_of(image), names, keypoints) for image in files]
        if path.is_dir():
            faults += _not_read(path)
            faults += _orphans(path, files)
    return Split(name, tuple(images), tuple(faults))


def _not_read(folder: Path) -> list[Fault]:
    """Return faults for what are no images here, but for Ultralytics."""
    text = f"Ultralytics trains with it, the server reads {', '.join(_TRAINED_WITH)} alone"
    faults = []
    for path in sorted(files_under(folder)):
        if path.suffix.lower() in _UNREAD_SUFFIXES:
            faults.append(Fault("warning", "image of another format", path, text))
        elif path.suffix.lower() in _TRAINED_WITH and not path.exists():
            faults.append(Fault("error", "unreadable image", path, "a link to nowhere"))
    return faults


def _orphans(folder: Path, files: list[Path]) -> list[Fault]:
    labels = labels_of(folder / "any").parent
    if labels == folder or not labels.is_dir():
        return []
    wanted = {labels_of(image) for image in files}
    text = "no image belongs to these labels"
    found = (path for path in files_under(labels) if path.suffix == ".txt")
    return [
        Fault("warning", "labels without image", path, text)
        for path in sorted(found)
        if path not in wanted
    ]
