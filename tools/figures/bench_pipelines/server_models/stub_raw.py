"""Triton model: a detector with a raw head that answers at once, so that the rest is measured."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from bench_scene import raw_head  # type: ignore[import-not-found]
from tridet_tensors import array_from_request, tensor_from_array


class TritonPythonModel:
    """FP32 [n, 3, 640, 640] in, always the same [n, 84, 8400] out."""

    def initialize(self, args: dict[str, str]) -> None:
        del args
        self._head = raw_head()[None]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        count = len(array_from_request(request, "images"))
        head = self._head if count == 1 else np.repeat(self._head, count, axis=0)
        return pb_utils.InferenceResponse([tensor_from_array("output0", head)])
