"""Measure a trained Ultralytics detector on the test split of a data YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tridet_build.datasets.yolo import images_at, labels_of

CLEAN_CONF = 0.25  # the conf of the confusion matrix and of the count of false boxes


def measure(
    weights: Path, data: Path, folder: Path, *, imgsz: int, batch: int, device: str | None
) -> dict[str, Any] | None:
    """Metrics as plain numbers, or None if the data has no test split; plots go below `folder`.

    The confusion matrix is indexed [predicted][true] at conf 0.25 and IoU 0.45, background last, as
    Ultralytics draws it. All images are letterboxed to a square, as the server does it.
    """
    from ultralytics import YOLO
    from ultralytics.data.utils import check_det_dataset

    settings = check_det_dataset(str(data))
    if not settings.get("test"):
        return None
    model = YOLO(str(weights))

    def validate(conf: float, name: str) -> Any:
        return model.val(
            data=str(data),
            split="test",
            imgsz=imgsz,
            batch=batch,
            device=device,
            conf=conf,
            rect=False,
            plots=True,
            project=str(folder),
            name=name,
            exist_ok=True,
            verbose=False,
        )

    result = validate(0.001, "test")
    # AP needs the whole precision-recall curve, a confusion matrix needs a threshold.
    confusion = validate(CLEAN_CONF, "test-confusion").confusion_matrix
    names = [model.names[i] for i in sorted(model.names)]
    box = result.box
    per_class = {
        names[class_id]: {
            "ap50": float(box.ap50[row]),
            "ap50_95": float(box.ap[row]),
            "precision": float(box.p[row]),
            "recall": float(box.r[row]),
        }
        for row, class_id in enumerate(box.ap_class_index)
    }
    clean = _images_without_boxes(settings["test"])
    false_boxes, images_with_false_boxes = _count_boxes(model, clean, imgsz, batch, device)
    return {
        "weights": weights.name,
        "imgsz": imgsz,
        "map50": float(box.map50),
        "map50_95": float(box.map),
        "precision": float(box.mp),
        "recall": float(box.mr),
        "per_class": per_class,
        "confusion_matrix": {
            "labels": [*names, "background"],
            "predicted_by_true": [[int(v) for v in row] for row in confusion.matrix],
        },
        "clean_conf": CLEAN_CONF,
        "clean_images": len(clean),
        "clean_images_with_false_boxes": images_with_false_boxes,
        "false_boxes": false_boxes,
        "false_boxes_per_clean_image": false_boxes / len(clean) if clean else None,
    }


def _images_without_boxes(split: str | list[str]) -> list[str]:
    """Image files of a split whose label file is empty; without one, nobody said it is clean."""
    places = split if isinstance(split, list) else [split]
    labels = {image: labels_of(image) for place in places for image in images_at(Path(place))}
    return [str(i) for i, file in labels.items() if file.is_file() and not file.read_text().strip()]


def _count_boxes(
    model: Any, files: list[str], imgsz: int, batch: int, device: str | None
) -> tuple[int, int]:
    """Boxes found at CLEAN_CONF in all files, and in how many files there was one."""
    boxes = images = 0
    for start in range(0, len(files), batch):
        for result in model.predict(
            files[start : start + batch],
            imgsz=imgsz,
            conf=CLEAN_CONF,
            device=device,
            rect=False,
            verbose=False,
        ):
            boxes += len(result.boxes)
            images += bool(len(result.boxes))
    return boxes, images
