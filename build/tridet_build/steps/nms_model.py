"""Triton step ``nms``: candidates of any detector in, final detections in source pixels out.

Rendered into the model repository by tridet-build, with its siblings tridet_*.
"""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tridet_admission import Admission, OverloadedError
from tridet_processing.contract import (
    ADMISSION,
    AGNOSTIC,
    BOXES,
    CLASS_IDS,
    CONF,
    DETECTION_BOXES,
    DETECTION_CLASSES,
    DETECTION_SCORES,
    IOU,
    LETTERBOX,
    MAX_DET,
    NUM_DETECTIONS,
    SCORES,
    STEP_MAX_IN_FLIGHT,
    STEP_MAX_WAIT_S,
)
from tridet_processing.letterbox import undo_letterbox
from tridet_processing.nms import finite, nms
from tridet_processing.parameters import NmsParameters
from tridet_tensors import array_from_request, tensor_from_array


class TritonPythonModel:
    """Adapter; see ``nms.nms`` and ``letterbox.undo_letterbox`` for the work."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {k: json.loads(v["string_value"]) for k, v in config["parameters"].items()}
        self._defaults = NmsParameters(
            **{name: parameters[name] for name in (CONF, IOU, MAX_DET, AGNOSTIC)}
        )
        self._admission = Admission(parameters[STEP_MAX_IN_FLIGHT], parameters[STEP_MAX_WAIT_S])
        self._not_finite = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        # Of a group, only the last branch is given the ticket.
        ticket = array_from_request(request, ADMISSION)
        try:
            if ticket is not None:
                self._admission.release(int(ticket[0, 0]))
            thresholds = self._defaults.overridden(json.loads(request.parameters() or "{}"))
        except OverloadedError as error:
            return _refusal(error, pb_utils.TritonError.UNAVAILABLE)
        except ValueError as error:
            return _refusal(error, pb_utils.TritonError.INVALID_ARG)
        boxes, scores, class_ids, undo = (
            array_from_request(request, name) for name in (BOXES, SCORES, CLASS_IDS, LETTERBOX)
        )
        self._count_not_finite(int((~finite(boxes.reshape(-1, 4), scores.reshape(-1))).sum()))
        kept = [nms(*image, thresholds) for image in zip(boxes, scores, class_ids, strict=True)]
        counts = np.array([[len(rows)] for rows in kept], np.int32)
        # Several images in one request share one tensor: shorter lists are padded with zeros.
        shape = (len(kept), int(counts.max(initial=0)))
        detection_boxes = np.zeros((*shape, 4), np.float32)
        detection_scores = np.zeros(shape, np.float32)
        detection_classes = np.zeros(shape, np.int32)
        for image, rows in enumerate(kept):
            detection_boxes[image, : len(rows)] = undo_letterbox(boxes[image, rows], undo[image])
            detection_scores[image, : len(rows)] = scores[image, rows]
            detection_classes[image, : len(rows)] = class_ids[image, rows]
        return pb_utils.InferenceResponse(
            [
                tensor_from_array(NUM_DETECTIONS, counts),
                tensor_from_array(DETECTION_BOXES, detection_boxes),
                tensor_from_array(DETECTION_SCORES, detection_scores),
                tensor_from_array(DETECTION_CLASSES, detection_classes),
            ]
        )

    def _count_not_finite(self, count: int) -> None:
        """Count what ``nms`` drops, and say so in the log now and then: at 1, 10, 100, ..."""
        if not count:
            return
        before, self._not_finite = self._not_finite, self._not_finite + count
        if len(str(self._not_finite)) > len(str(before)) or not before:
            pb_utils.Logger.log_warn(
                f"tridet: {self._not_finite} candidates so far have a score or a box that is NaN "
                "or infinite, and were dropped: the network overflows, as in FP16, or is untrained"
            )


def _refusal(error: Exception, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
