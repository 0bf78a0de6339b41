"""Triton model: a detector that finds nothing and takes a known time; ``model.py`` of the stub.

It sleeps, so that what the server can do is known and the cores are left to what is measured.
"""

import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tridet_tensors import array_from_request, tensor_from_array


class TritonPythonModel:
    """``batch_s`` for each batch, whatever its size."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self._batch_s = float(config["parameters"]["batch_s"]["string_value"])
        self._candidates = int(config["output"][0]["dims"][0])

    def execute(self, requests: list[Any]) -> list[Any]:
        time.sleep(self._batch_s)
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        shape = (len(array_from_request(request, "images")), self._candidates)
        outputs = {
            "boxes": np.zeros((*shape, 4), np.float32),
            "scores": np.zeros(shape, np.float32),
            "class_ids": np.zeros(shape, np.int32),
        }
        return pb_utils.InferenceResponse(
            [tensor_from_array(name, array) for name, array in outputs.items()]
        )
