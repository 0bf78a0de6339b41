"""What a served stand-in detector must answer, computed in this process."""

import numpy as np
import onnxruntime
from tridet.processing import contract
from tridet.processing.letterbox import letterbox, undo_letterbox
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters


def frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def expected(
    image: np.ndarray, size: int, thresholds: NmsParameters, path: str
) -> list[np.ndarray]:
    """The whole pipeline in this process: letterbox, the plain ONNX, NumPy, NMS."""
    canvas = np.full((size, size, 3), contract.PAD_VALUE, np.uint8)
    undo = letterbox(image, canvas)
    planes = canvas[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    (raw,) = onnxruntime.InferenceSession(path).run(None, {"images": planes})[0]
    best = raw[4:].max(axis=0)
    order = np.argsort(-best, kind="stable")[:40]
    x, y, w, h = raw[:4, order]
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    class_ids = raw[4:].argmax(axis=0)[order].astype(np.int32)
    rows = nms(boxes, best[order], class_ids, thresholds)
    return [undo_letterbox(boxes[rows], undo), best[order][rows], class_ids[rows]]
