"""Ground truth of an image set, in YOLO or COCO form, and mAP against it by pycocotools."""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tridet_build.errors import INSTALL, GateError
from tridet_build.gate.detections import Float32Array, Found, Int32Array

Truth: TypeAlias = Mapping[Path, tuple[Int32Array, Float32Array]]
"""Image file to class ids, int32 [n], and boxes, float32 [n, 4], xyxy in pixels of the image."""


@dataclass(frozen=True)
class Scores:
    """Mean average precision, from 0 to 1."""

    map50: float
    map50_95: float


def find_labels(images: Sequence[Path]) -> Path | None:
    """Find the labels of a data set where they usually lie, or None.

    That is ``annotations.json`` beside the images, or Ultralytics' layout: a ``labels`` folder in
    place of the last ``images`` of the path.
    """
    if not images:
        return None
    folder = images[0].parent
    if (folder / "annotations.json").is_file():
        return folder / "annotations.json"
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        labels = Path(*parts)
        if labels.is_dir() and any(labels.glob("*.txt")):
            return labels
    return None


def load_truth(labels: Path, found: Sequence[Found], names: Sequence[str]) -> Truth:
    """Read the labels of the images that a run has seen.

    Args:
        labels: a COCO JSON file, or a folder of YOLO text files, one per image; as in Ultralytics'
            data sets an image without one shows nothing.
        found: a run, for the images and their sizes.
        names: class names; the index is the class id.

    Raises:
        GateError: neither form, an unknown class, or labels of other images.
    """
    truth = _coco(labels, found, names) if labels.is_file() else _yolo(labels, found, names)
    if not any(len(class_ids) for class_ids, _ in truth.values()):
        raise GateError(f"{labels}: expected labels of {len(found)} images, found none")
    return truth


def mean_average_precision(found: Sequence[Found], truth: Truth, max_det: int) -> Scores:
    """Evaluate a run as COCO does.

    Raises:
        GateError: pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise GateError(f"mAP needs pycocotools, which is missing: {INSTALL}") from None
    with contextlib.redirect_stdout(io.StringIO()):
        target = COCO()
        target.dataset = _coco_from_truth(found, truth)
        target.createIndex()
        rows = _coco_rows(found)
        if not rows:
            return Scores(0.0, 0.0)
        evaluation = COCOeval(target, target.loadRes(rows), "bbox")
        evaluation.params.maxDets = [max_det]
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    # [IoU thresholds, recalls, classes, areas, counts]; -1 where a class has no truth.
    precision = evaluation.eval["precision"]
    return Scores(_mean(precision[:1]), _mean(precision))


def _mean(precision: Any) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else 0.0


def _yolo(folder: Path, found: Sequence[Found], names: Sequence[str]) -> Truth:
    if not folder.is_dir():
        raise GateError(f"{folder}: expected a COCO file or a folder of YOLO labels, found none")
    truth = {}
    for item in found:
        path = folder / f"{item.image.stem}.txt"
        try:
            text = path.read_text() if path.is_file() else ""
            rows = [[float(part) for part in line.split()] for line in text.splitlines() if line]
            table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        except (OSError, ValueError):
            raise GateError(
                f"{path}: expected lines of a class id and four fractions, got something else"
            ) from None
        class_ids = table[:, 0].astype(np.int32)
        if len(table) and not 0 <= class_ids.min() <= class_ids.max() < len(names):
            raise GateError(f"{path}: expected class ids below {len(names)}, got {class_ids.max()}")
        centre, size = table[:, 1:3], table[:, 3:5]
        corners = np.hstack([centre - size / 2, centre + size / 2]) * np.tile(item.size, 2)
        truth[item.image] = class_ids, corners.astype(np.float32)
    return truth


def _coco(path: Path, found: Sequence[Found], names: Sequence[str]) -> Truth:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = {entry["id"]: entry["name"] for entry in content["categories"]}
        files = {Path(entry["file_name"]).name: entry["id"] for entry in content["images"]}
        boxes: dict[int, list[tuple[str, list[float]]]] = {}
        for note in content["annotations"]:
            x, y, width, height = map(float, note["bbox"])
            boxes.setdefault(note["image_id"], []).append(
                (categories[note["category_id"]], [x, y, x + width, y + height])
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateError(
            f"{path}: expected COCO annotations: {type(error).__name__}: {error}"
        ) from None
    unknown = sorted({name for rows in boxes.values() for name, _ in rows} - set(names))
    if unknown:
        raise GateError(f"{path}: expected the classes {', '.join(names)}, got {unknown[0]!r}")
    truth = {}
    for item in found:
        if item.image.name not in files:
            raise GateError(f"{path}: expected an entry of {item.image.name}, found none")
        rows = boxes.get(files[item.image.name], [])
        truth[item.image] = (
            np.array([names.index(name) for name, _ in rows], dtype=np.int32),
            np.array([box for _, box in rows], dtype=np.float32).reshape(-1, 4),
        )
    return truth


def _coco_from_truth(found: Sequence[Found], truth: Truth) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, item in enumerate(found, start=1):
        for class_id, box in zip(*truth[item.image], strict=True):
            x, y, right, low = map(float, box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(class_id),
                    "bbox": [x, y, right - x, low - y],
                    "area": (right - x) * (low - y),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image_id} for image_id in range(1, len(found) + 1)],
        "annotations": annotations,
        "categories": [{"id": i} for i in sorted({note["category_id"] for note in annotations})],
        "info": {},
    }


def _coco_rows(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "category_id": int(class_id),
            "bbox": [float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
            "score": float(score),
        }
        for image_id, item in enumerate(found, start=1)
        for box, score, class_id in zip(item.boxes, item.scores, item.class_ids, strict=True)
    ]
