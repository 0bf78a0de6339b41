#!/usr/bin/env python3
"""Compare tridet with Ultralytics' own predictor on the same weights; print a Markdown table.

    python tests/build/parity/parity.py                  # in an environment with tridet-build[full]
    python tests/build/parity/parity.py --weights models/pcb/pcb.pt --images boards/*.jpg

Not part of `make test`: CI's environment has no torch. Each family's smallest architecture gets
random weights of a fixed seed, normalized so that scores and boxes differ from anchor to anchor:
nothing they find means anything, but every operator of the head counts. The photographs are those
that Ultralytics carries, whose sides its letterbox scales without rounding.

tridet's side is the export, the serving graph in ONNX Runtime, and the very letterbox and NMS that
the server runs. A box is matched if the other side has one of its class with IoU > 0.99 and a
score within 1e-3. One that is not is explained if the two NMS disagree over it because it overlaps
a better one by the very threshold: Ultralytics shifts the boxes of each class by 7,680 px times its
index before NMS, which leaves float32 a precision of 1/32 px from class 35 on.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from tridet.processing.letterbox import letterbox, undo_letterbox
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters
from tridet_build.onnx.export import ExportReport, export_onnx
from tridet_build.onnx.serving_graph import serving_graph
from ultralytics import YOLO
from ultralytics.utils import ASSETS

SIZE = 640
CANDIDATES = 300
CONF = 0.25
IOU = 0.7
# Architecture, and whether to take the NMS-free head.
FAMILIES = (
    ("yolov5n", False),
    ("yolov8n", False),
    ("yolov9t", False),
    ("yolov10n", True),
    ("yolov10n", False),
    ("yolo11n", False),
    ("yolo12n", False),
    ("yolo26n", True),
    ("yolo26n", False),
)
COLUMNS = (
    "weights",
    "layout",
    "nodes, as written and simplified",
    "boxes, Ultralytics",
    "boxes, tridet",
    "matched",
    "explained",
    "smallest IoU",
    "largest score difference",
)


@dataclass
class Found:
    """Detections of one image.

    Attributes:
        boxes: xyxy float32 [n, 4] in pixels of the image.
        scores: float32 [n].
        class_ids: int32 [n].
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray


def main() -> int:
    arguments = _parse()
    images = [cv2.imread(str(path)) for path in arguments.images]
    torch.manual_seed(arguments.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cases = [(path, path.name, False) for path in arguments.weights]
        if not cases:
            for name, nms_free in FAMILIES:
                if arguments.only and name not in arguments.only:
                    continue
                path = Path(folder, f"{name}-{nms_free}.pt")
                torch.manual_seed(arguments.seed)
                write_random_weights(name, path, images, nms_free)
                label = name.replace("yolov5n", "yolov5nu") + (", NMS-free head" * nms_free)
                cases.append((path, label, nms_free))
        for path, label, nms_free in cases:
            rows.append(compare(path, label, images, Path(folder, "plain.onnx"), nms_free))
    packages = ("ultralytics", "torch", "onnx", "onnxsim", "onnxruntime", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print(f"\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for row in rows:
        print(f"| {' | '.join(row[column] for column in COLUMNS)} |")
    return any(int(row["unexplained"]) for row in rows)


def compare(
    weights: Path, label: str, images: list[np.ndarray], plain: Path, nms_free: bool
) -> dict[str, str]:
    """Run both sides on every image and return a row of the table."""
    report = export_onnx(weights, plain, input_size=SIZE, nms_free=nms_free)
    for note in report.notes:
        print(f"{label}: {note}", file=sys.stderr)
    theirs = from_ultralytics(weights, images, nms_free)
    ours, candidates = from_tridet(plain, report, images)
    overlaps, drifts, explained = [], [], 0
    extra = 0
    for image in range(len(images)):
        overlap, drift = match(theirs[image], ours[image])
        good = (overlap > 0.99) & (drift < 1e-3)
        for box in np.flatnonzero(~good):
            near = near_threshold(theirs[image], int(box), candidates[image])
            explained += near is not None
            print(
                f"{label}: image {image}: box of score {theirs[image].scores[box]:.6f}: "
                f"IoU {overlap[box]:.4f}, score off by {drift[box]:.1e}; "
                f"overlaps a better one by {near}",
                file=sys.stderr,
            )
        extra += len(ours[image].boxes) - int(good.sum())
        overlaps.append(overlap[good])
        drifts.append(drift[good])
    total = sum(len(found.boxes) for found in theirs)
    matched = sum(len(overlap) for overlap in overlaps)
    return {
        "weights": label,
        "layout": report.layout,
        "nodes, as written and simplified": f"{report.nodes_before} → {report.nodes_after}",
        "boxes, Ultralytics": str(total),
        "boxes, tridet": str(sum(len(found.boxes) for found in ours)),
        "matched": f"{matched} of {total}",
        "explained": str(explained),
        "smallest IoU": f"{np.concatenate(overlaps).min():.5f}",
        "largest score difference": f"{np.concatenate(drifts).max():.1e}",
        "unexplained": str(total - matched - explained + extra),
    }


def from_ultralytics(weights: Path, images: list[np.ndarray], nms_free: bool) -> list[Found]:
    results = YOLO(weights).predict(
        images,
        imgsz=SIZE,
        rect=False,  # the full square, which is what a served detector of fixed size sees
        conf=CONF,
        iou=IOU,
        max_det=CANDIDATES,
        device="cpu",
        verbose=False,
        **({"nms": False} if nms_free else {}),
    )
    return [
        Found(
            result.boxes.xyxy.numpy(),
            result.boxes.conf.numpy(),
            result.boxes.cls.numpy().astype(np.int32),
        )
        for result in results
    ]


def from_tridet(
    plain: Path, report: ExportReport, images: list[np.ndarray]
) -> tuple[list[Found], list[Found]]:
    """Return the detections, and all candidates above CONF with boxes that are not clipped."""
    graph = serving_graph(plain, input_size=SIZE, classes=len(report.labels), candidates=CANDIDATES)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    # An end-to-end head has suppressed already: Ultralytics lets no NMS follow.
    iou = 1.0 if report.layout == "end_to_end" else IOU
    thresholds = NmsParameters(conf=CONF, iou=iou, max_det=CANDIDATES, agnostic=False)
    canvases = np.full((len(images), SIZE, SIZE, 3), 114, np.uint8)
    undo = [letterbox(image, canvas) for image, canvas in zip(images, canvases, strict=True)]
    outputs = session.run(["boxes", "scores", "class_ids"], {"images": canvases})
    found, candidates = [], []
    for boxes, scores, class_ids, back in zip(*outputs, undo, strict=True):
        rows = nms(boxes, scores, class_ids, thresholds)
        found.append(Found(undo_letterbox(boxes[rows], back), scores[rows], class_ids[rows]))
        unclipped = ((boxes.reshape(-1, 2, 2) - back[2:4]) / back[0:2]).reshape(-1, 4)
        above = scores >= CONF
        candidates.append(Found(unclipped[above], scores[above], class_ids[above]))
    return found, candidates


def near_threshold(theirs: Found, box: int, candidates: Found) -> float | None:
    """Return the overlap with a better box if it is that at which NMS decides, else None."""
    distance = np.abs(candidates.scores - theirs.scores[box])
    distance[candidates.class_ids != theirs.class_ids[box]] = 1
    if not len(distance) or distance.min() > 1e-3:
        return None
    (me,) = np.flatnonzero(distance == distance.min())[:1]
    better = (candidates.class_ids == candidates.class_ids[me]) & (np.arange(len(distance)) < me)
    overlaps = pairwise_iou(candidates.boxes[me : me + 1], candidates.boxes[better])[0]
    near = overlaps[np.abs(overlaps - IOU) < 5e-3]
    return float(near[0]) if len(near) else None


def match(theirs: Found, ours: Found) -> tuple[np.ndarray, np.ndarray]:
    """Pair each of their boxes with one of ours, best overlap first; IoU and score difference [n].

    A box without a partner has IoU 0 and a difference of its whole score.
    """
    overlaps = pairwise_iou(theirs.boxes, ours.boxes)
    overlaps[theirs.class_ids[:, None] != ours.class_ids[None]] = 0
    # Of boxes that coincide, take the one of the nearest score.
    distance = np.abs(theirs.scores[:, None] - ours.scores[None])
    order = np.argsort(-(overlaps - 1e-3 * distance), axis=None)
    overlap, drift = np.zeros(len(theirs.boxes)), theirs.scores.astype(np.float64)
    free_theirs = np.ones(len(theirs.boxes), dtype=bool)
    free_ours = np.ones(len(ours.boxes), dtype=bool)
    for a, b in zip(*np.unravel_index(order, overlaps.shape), strict=True):
        if free_theirs[a] and free_ours[b] and overlaps[a, b] > 0:
            free_theirs[a] = free_ours[b] = False
            overlap[a], drift[a] = overlaps[a, b], distance[a, b]
    return overlap, drift


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of xyxy boxes [n, 4] and [m, 4]: float64 [n, m]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)


def write_random_weights(name: str, path: Path, images: list[np.ndarray], nms_free: bool) -> None:
    """Write random weights whose scores and boxes vary, with about 250 anchors above CONF.

    A fresh model says nearly the same of every anchor: batch norms have never seen data, and the
    head starts near zero. So the norms are set from the images, the last convolutions of the head
    get gains, and the class biases are shifted until the busiest image has 250 candidates.
    """
    yolo = YOLO(f"{name}.yaml")
    model: Any = yolo.model
    frames = np.full((len(images), SIZE, SIZE, 3), 114, np.uint8)
    for image, canvas in zip(images, frames, strict=True):
        letterbox(image, canvas)
    planes = np.ascontiguousarray(frames[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32) / 255
    batch = torch.from_numpy(planes)
    head = model.model[-1]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        model.train()
        model(batch)
        model.eval()
        branches = [head.cv2, head.cv3]
        if hasattr(head, "one2one_cv2"):
            branches += [head.one2one_cv2, head.one2one_cv3]
        for branch, gain in zip(branches, (4.0, 2.0) * 2, strict=False):
            # Without a distribution over distances, they are what the convolution says.
            plain_boxes = head.reg_max == 1 and gain == 4.0
            for level in branch:
                scale = (0.5 if plain_boxes else gain) / level[-1].weight[0].numel() ** 0.5
                level[-1].weight.normal_(0, scale)
                level[-1].bias.fill_(4.0 if plain_boxes else 0.0)
        for nms, scores in (
            (False, head.cv3),
            (True, getattr(head, "one2one_cv3", None)),
        ):
            if scores is None:
                continue
            if hasattr(head, "one2one_cv3"):
                head.end2end = False
            raw = model(batch)[1]
            raw = raw["one2one" if nms else "one2many"] if "one2many" in raw else raw
            best = raw["scores"].amax(dim=1)
            wanted = best.topk(250, dim=1).values[:, -1].max()
            for level in scores:
                level[-1].bias += float(np.log(CONF / (1 - CONF)) - wanted)
    if hasattr(head, "one2one_cv3"):
        head.end2end = nms_free
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.03
    yolo.save(path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, nargs="*", default=[], help="compare these instead")
    parser.add_argument("--images", type=Path, nargs="*", default=sorted(ASSETS.glob("*.jpg")))
    parser.add_argument("--only", nargs="*", help="of the architectures, only these")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
