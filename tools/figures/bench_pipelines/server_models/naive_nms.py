"""Triton step of the naive ensemble: the raw head [84, 8400] in, detections out.

Imitates the postprocess steps of omarabid59/yolov8-triton and its many descendants, which hand the
raw output to ``cv2.dnn.NMSBoxes`` in Python. Kinder than these: they loop over the 8,400 anchors in
Python, which takes tens of milliseconds; this is vectorised, and looks for the best class only of
the anchors that pass the threshold, as the better ONNX examples do.
"""

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from tridet_tensors import array_from_request, tensor_from_array

_CONF = 0.25
_IOU = 0.7


class TritonPythonModel:
    """Transpose, threshold, best class, NMSBoxes, back to source pixels."""

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            heads = array_from_request(request, "output0")
            geometry = array_from_request(request, "geometry")
            found = [self._detect(*image) for image in zip(heads, geometry, strict=True)]
            most = max(len(scores) for _, scores, _ in found)
            boxes = np.zeros((len(found), most, 4), np.float32)
            scores = np.zeros((len(found), most), np.float32)
            class_ids = np.zeros((len(found), most), np.int32)
            for row, (image_boxes, image_scores, image_classes) in enumerate(found):
                count = len(image_scores)
                boxes[row, :count] = image_boxes
                scores[row, :count] = image_scores
                class_ids[row, :count] = image_classes
            counts = np.array([[len(image[1])] for image in found], np.int32)
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        tensor_from_array("num_detections", counts),
                        tensor_from_array("detection_boxes", boxes),
                        tensor_from_array("detection_scores", scores),
                        tensor_from_array("detection_classes", class_ids),
                    ]
                )
            )
        return responses

    def _detect(self, head: Any, geometry: Any) -> tuple[Any, Any, Any]:
        predictions = head.T
        scores = predictions[:, 4:].max(axis=1)
        passed = scores > _CONF
        predictions, scores = predictions[passed], scores[passed]
        class_ids = predictions[:, 4:].argmax(axis=1)
        boxes = predictions[:, :4].copy()
        boxes[:, :2] -= boxes[:, 2:] / 2
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), _CONF, _IOU)
        rows = np.asarray(kept, np.int64).reshape(-1)
        scale, left, top = geometry
        boxes = boxes[rows]
        boxes[:, 2:] += boxes[:, :2]
        boxes = (boxes - np.array([left, top, left, top], np.float32)) / scale
        return boxes, scores[rows], class_ids[rows]
