"""The detector that tridet ships, through the server and the client, against the ground truth."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from local_triton import LocalServer
from tridet import Detections, Detector
from tridet_build.manifest.manifest import load_manifest
from tridet_build.repository.render import write

pytestmark = pytest.mark.server
PCB = Path(__file__).parents[2] / "models" / "pcb"
SAMPLES = sorted((PCB / "samples").glob("*.jpg"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Detections]]:
    repository = tmp_path_factory.mktemp("pcb")
    write([load_manifest(PCB)], repository)
    with LocalServer(repository) as server, Detector(server.grpc_url, "pcb") as detector:
        yield {path.name: detector(path) for path in SAMPLES}


@pytest.fixture(scope="module")
def truth() -> dict[str, list[tuple[str, np.ndarray]]]:
    """Name of the picture to its (class name, xyxy) boxes."""
    coco = json.loads((PCB / "samples" / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    boxes: dict[str, list[tuple[str, np.ndarray]]] = {i["file_name"]: [] for i in coco["images"]}
    files = {image["id"]: image["file_name"] for image in coco["images"]}
    for note in coco["annotations"]:
        x, y, w, h = note["bbox"]
        box = np.array([x, y, x + w, y + h])
        boxes[files[note["image_id"]]].append((names[note["category_id"]], box))
    return boxes


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def test_samples_are_what_the_issue_promises(
    truth: dict[str, list[tuple[str, np.ndarray]]],
) -> None:
    assert len(SAMPLES) == 6
    assert truth.keys() == {path.name for path in SAMPLES}
    assert sum(not boxes for boxes in truth.values()) == 1
    assert all(path.stat().st_size < 300_000 for path in SAMPLES)


def test_finds_the_defects_and_little_else(
    found: dict[str, Detections], truth: dict[str, list[tuple[str, np.ndarray]]]
) -> None:
    hits = false_boxes = 0
    for name, detections in found.items():
        open_truth = list(truth[name])
        for detection in detections:
            matches = [
                (iou(np.asarray(detection.box), box), i)
                for i, (label, box) in enumerate(open_truth)
                if label == detection.name
            ]
            best, which = max(matches, default=(0.0, -1))
            if best >= 0.5:
                open_truth.pop(which)
                hits += 1
            else:
                false_boxes += 1
    total = sum(len(boxes) for boxes in truth.values())
    assert total >= 15
    assert hits / total >= 0.9
    assert false_boxes <= 0.1 * total


def test_is_silent_on_the_defect_free_board(
    found: dict[str, Detections], truth: dict[str, list[tuple[str, np.ndarray]]]
) -> None:
    (clean,) = (name for name, boxes in truth.items() if not boxes)
    assert len(found[clean]) == 0


def test_parity_with_ultralytics_own_predictor(found: dict[str, Detections]) -> None:
    """Every box matched, on boards whose sides the letterbox scales without rounding.

    Elsewhere Ultralytics is off by up to half a resized pixel, because it undoes the letterbox with
    one scale for both sides; see docs/contract.md.
    """
    reference = json.loads(
        (Path(__file__).parent / "data" / "ultralytics_samples.json").read_text()
    )
    assert reference["found"].keys() == found.keys()
    for name, theirs in reference["found"].items():
        mine = found[name]
        assert len(mine) == len(theirs["boxes"])
        for box, score, class_id in zip(
            *(theirs[k] for k in ("boxes", "scores", "class_ids")), strict=True
        ):
            overlaps = [iou(mine_box, np.array(box)) for mine_box in mine.boxes]
            best = int(np.argmax(overlaps))
            assert overlaps[best] > 0.99
            assert mine.class_ids[best] == class_id
            assert abs(mine.scores[best] - score) < 1e-3
