"""How the user of each pipeline calls it: a frame in, boxes in source pixels out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from tridet import Detector, Transport

from bench_pipelines import scene
from bench_pipelines.repository import (
    NAIVE,
    NAIVE_NMS,
    NAIVE_PREPROCESS,
    STUB_RAW,
    TRIDET,
    TRIDET_DETECTOR,
)

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]


class Client(Protocol):
    """One user of a pipeline; used by one thread."""

    def __call__(self, frame: UInt8Array) -> Float32Array:
        """Send uint8 [h, w, 3] BGR; return boxes float32 [n, 4] xyxy, best first."""

    def close(self) -> None:
        """Disconnect."""


class NaiveClient:
    """Sends the whole frame to the naive ensemble with tritonclient, as its README would say."""

    def __init__(self, url: str) -> None:
        self._triton = triton.InferenceServerClient(url)

    def __call__(self, frame: UInt8Array) -> Float32Array:
        tensor = triton.InferInput("IMAGE", [1, *frame.shape], "UINT8")
        tensor.set_data_from_numpy(frame[None])
        answer = self._triton.infer(NAIVE, [tensor])
        count = int(answer.as_numpy("num_detections")[0, 0])
        boxes: Float32Array = answer.as_numpy("detection_boxes")[0, :count]
        return boxes

    def close(self) -> None:
        self._triton.close()


class UltralyticsClient:
    """The contract of Ultralytics' own Triton client, ``YOLO("grpc://host:8001/model")``.

    Written from what its ``TritonRemoteModel``, ``LetterBox``, ``BasePredictor.preprocess`` and
    ``non_max_suppression`` do, in NumPy instead of torch: letterbox to 640 x 640 in the client,
    FP32 [1, 3, 640, 640] over gRPC, the raw head back (with the copy that ``astype`` makes), NMS in
    the client. Left out in its favour: its per-image dataset, Results, callbacks and logging.
    """

    def __init__(self, url: str) -> None:
        self._triton = triton.InferenceServerClient(url)

    def __call__(self, frame: UInt8Array) -> Float32Array:
        images, scale, left, top = self._preprocess(frame)
        tensor = triton.InferInput("images", list(images.shape), "FP32")
        tensor.set_data_from_numpy(images)
        wanted = [triton.InferRequestedOutput("output0")]
        answer = self._triton.infer(STUB_RAW, [tensor], outputs=wanted)
        head = answer.as_numpy("output0").astype(images.dtype)
        boxes = (_suppressed(head[0]) - np.array([left, top, left, top], np.float32)) / scale
        height, width = frame.shape[:2]
        clipped: Float32Array = boxes.clip(0, np.array([width, height, width, height], np.float32))
        return clipped

    def close(self) -> None:
        self._triton.close()

    @staticmethod
    def _preprocess(frame: UInt8Array) -> tuple[Float32Array, float, int, int]:
        height, width = frame.shape[:2]
        side = scene.INPUT_SIZE
        scale = min(side / height, side / width)
        new_width, new_height = round(width * scale), round(height * scale)
        half_x, half_y = (side - new_width) / 2, (side - new_height) / 2
        resized = cv2.resize(frame, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        left, top = round(half_x - 0.1), round(half_y - 0.1)
        right, bottom = round(half_x + 0.1), round(half_y + 0.1)
        padded = cv2.copyMakeBorder(
            resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
        )
        stacked = np.stack([padded])[..., ::-1].transpose((0, 3, 1, 2))
        images = np.ascontiguousarray(stacked).astype(np.float32)
        images /= 255
        return images, scale, left, top


def _suppressed(head: Float32Array) -> Float32Array:
    """Class-aware NMS of float32 [84, A]: threshold first, then the few that are left."""
    columns = head[:, head[4:].max(axis=0) > scene.CONF]
    scores, class_ids = columns[4:].max(axis=0), columns[4:].argmax(axis=0)
    centre, size = columns[:2], columns[2:4]
    boxes = np.concatenate([centre - size / 2, centre + size / 2]).T
    # Boxes of different classes are moved apart, so that one pass serves all classes.
    moved = boxes + class_ids[:, None] * 7680
    left, top, right, bottom = moved.T
    area = (right - left) * (bottom - top)
    order = np.argsort(-scores)
    kept = []
    while len(order):
        first, rest = order[0], order[1:]
        kept.append(first)
        width = np.minimum(right[first], right[rest]) - np.maximum(left[first], left[rest])
        height = np.minimum(bottom[first], bottom[rest]) - np.maximum(top[first], top[rest])
        shared = width.clip(0) * height.clip(0)
        order = rest[shared / (area[first] + area[rest] - shared) <= scene.IOU]
    result: Float32Array = boxes[kept]
    return result


class TridetClient:
    """tridet's own client library."""

    def __init__(self, url: str, *, transport: Transport, model: str = TRIDET) -> None:
        # No call may be given up or repeated unseen, or its time would say nothing.
        self._detector = Detector(url, model, transport=transport, timeout_s=60, retries=0)

    def __call__(self, frame: UInt8Array) -> Float32Array:
        return self._detector(frame).boxes

    def close(self) -> None:
        self._detector.close()


Factory = Callable[[str], Client]

PIPELINES: dict[str, Factory] = {
    "naive": NaiveClient,
    "ultralytics": UltralyticsClient,
    "tridet auto": partial(TridetClient, transport="auto"),
    "tridet fit": partial(TridetClient, transport="fit"),
    "tridet raw": partial(TridetClient, transport="raw"),
    "tridet encoded": partial(TridetClient, transport="encoded"),
    "tridet shm": partial(TridetClient, transport="shm"),
}
"""Name to what makes a client of it from the server's gRPC address."""

_TRIDET_STEPS = ("preprocess_640", TRIDET_DETECTOR, "nms")

STEPS: dict[str, tuple[str, ...]] = {
    "naive": (NAIVE, NAIVE_PREPROCESS, STUB_RAW, NAIVE_NMS),
    "ultralytics": (STUB_RAW, STUB_RAW),
    "tridet auto": (TRIDET, *_TRIDET_STEPS),
    "tridet fit": (TRIDET, *_TRIDET_STEPS),
    "tridet raw": (TRIDET, *_TRIDET_STEPS),
    "tridet encoded": (f"{TRIDET}_encoded", *_TRIDET_STEPS),
    "tridet shm": (TRIDET, *_TRIDET_STEPS),
}
"""Name to the models of the pipeline: first the one that is called, then its steps in order."""

DETECTORS = (STUB_RAW, TRIDET_DETECTOR)


def tridet_client(model: str) -> Any:
    """Return what makes a tridet client of the detector ``model``; it can be sent to a process."""
    return partial(TridetClient, transport="auto", model=model)
