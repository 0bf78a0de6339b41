"""Triton step ``preprocess_<sizes>``: a frame or an image file in, the letterboxed frame out.

Rendered into the model repository by tridet-build, with its siblings tridet_*.
"""

import json
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from tridet_admission import Admission, OverloadedError
from tridet_processing.contract import (
    ADMISSION,
    ENCODED,
    FORMATS,
    IMAGE,
    IMAGES,
    IMGSZ,
    LETTERBOX,
    PAD_VALUE,
    STEP_INPUT_SIZES,
    STEP_MAX_IN_FLIGHT,
    STEP_MAX_PIXELS,
    STEP_MAX_WAIT_S,
)
from tridet_processing.decode import ImageError, check_pixels, decode
from tridet_processing.letterbox import letterbox
from tridet_processing.parameters import NmsParameters, check_imgsz
from tridet_tensors import array_from_request, tensor_from_array

_ANY_THRESHOLDS = NmsParameters(conf=0.0, iou=0.0, max_det=1, agnostic=False)


class TritonPythonModel:
    """Adapter; see ``decode.decode`` and ``letterbox.letterbox`` for the work."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        self._smallest, self._default, self._largest = json.loads(parameters[STEP_INPUT_SIZES])
        self._max_pixels = int(parameters[STEP_MAX_PIXELS])
        self._admission = Admission(
            int(parameters[STEP_MAX_IN_FLIGHT]), float(parameters[STEP_MAX_WAIT_S])
        )
        # Instances already run side by side; OpenCV's own threads would only fight over the cores.
        cv2.setNumThreads(1)

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        if request.is_cancelled():
            return _refusal("cancelled", pb_utils.TritonError.CANCELLED)
        try:
            # At the door, before a detector works for nothing; and because a group whose first nms
            # step fails has no last one, which would count the frame out.
            parameters = json.loads(request.parameters() or "{}")
            _ANY_THRESHOLDS.overridden(parameters)
            size = check_imgsz(parameters.get(IMGSZ, self._default), self._smallest, self._largest)
            sent = self._sent(request)
        except ValueError as error:
            return _refusal(error, pb_utils.TritonError.INVALID_ARG)
        try:
            # Before an image is decoded: a refusal costs next to nothing.
            ticket = self._admission.admit(len(sent), request.timeout() / 1e6)
        except OverloadedError as error:
            return _refusal(error, pb_utils.TritonError.UNAVAILABLE)
        try:
            frames = [self._frame(each) for each in sent]
        except ImageError as error:
            self._admission.withdraw(ticket)
            return _refusal(error, pb_utils.TritonError.INVALID_ARG)
        canvases = np.full((len(frames), size, size, 3), PAD_VALUE, np.uint8)
        undo = [letterbox(frame, canvas) for frame, canvas in zip(frames, canvases, strict=True)]
        return pb_utils.InferenceResponse(
            [
                tensor_from_array(IMAGES, canvases),
                tensor_from_array(LETTERBOX, np.stack(undo)),
                tensor_from_array(ADMISSION, np.full((len(frames), 1), ticket, np.int64)),
            ]
        )

    def _sent(self, request: Any) -> Any:
        """Return what the request carries: one or several frames, or files.

        Raises:
            ImageError: not one of IMAGE and ENCODED, or frames of too many pixels.
        """
        image = array_from_request(request, IMAGE)
        encoded = array_from_request(request, ENCODED)
        if (image is None) == (encoded is None):
            found = "neither" if image is None else "both"
            raise ImageError(f"expected either {IMAGE} or {ENCODED}, got {found}")
        if image is None:
            return encoded
        check_pixels(image.shape[2], image.shape[1], self._max_pixels)
        return image

    def _frame(self, sent: Any) -> Any:
        """Return uint8 [h, w, 3] BGR of a frame as it is, or of a file's bytes, uint8 [n]."""
        if sent.ndim == 3:
            return sent
        return decode(sent.tobytes(), formats=FORMATS, max_pixels=self._max_pixels)


def _refusal(error: Exception | str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
