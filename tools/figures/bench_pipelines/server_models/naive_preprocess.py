"""Triton step of the naive ensemble: frames in, the detector's FP32 tensor out.

Imitates the public "Triton ensemble for YOLOv8" repositories, preprocess -> detector -> postprocess
with Python backends at both ends (gametwix/YOLO-TRITON-BASE64 for instance): all of the arithmetic
in NumPy and OpenCV, and FP32 CHW across the process boundary. Kinder than most: the frame comes as
it is rather than in base64, and the padding is that of training.
"""

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from tridet_tensors import array_from_request, tensor_from_array

_SIZE = 640


class TritonPythonModel:
    """Resize, pad, BGR to RGB, divide by 255, HWC to CHW."""

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            images = array_from_request(request, "IMAGE")
            prepared = [self._prepare(image) for image in images]
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        tensor_from_array("images", np.stack([tensor for tensor, _ in prepared])),
                        tensor_from_array("geometry", np.stack([undo for _, undo in prepared])),
                    ]
                )
            )
        return responses

    def _prepare(self, image: Any) -> tuple[Any, Any]:
        height, width = image.shape[:2]
        scale = min(_SIZE / width, _SIZE / height)
        new_width, new_height = round(width * scale), round(height * scale)
        resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        left, top = (_SIZE - new_width) // 2, (_SIZE - new_height) // 2
        padded = cv2.copyMakeBorder(
            resized,
            top,
            _SIZE - new_height - top,
            left,
            _SIZE - new_width - left,
            cv2.BORDER_CONSTANT,
            value=(114, 114, 114),
        )
        rgb = cv2.cvtColor(padded, cv2.COLOR_BGR2RGB)
        tensor = np.ascontiguousarray((rgb.astype(np.float32) / 255.0).transpose(2, 0, 1))
        return tensor, np.array([scale, left, top], np.float32)
