"""Triton model: a detector with a raw head that answers at once, so that the rest is measured."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from bench_scene import raw_head  # type: ignore[import-not-found]


class TritonPythonModel:
    """FP32 [n, 3, 640, 640] in, always the same [n, 84, 8400] out."""

    def initialize(self, args: dict[str, str]) -> None:
        del args
        self._head = raw_head()[None]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        count = len(pb_utils.get_input_tensor_by_name(request, "images").as_numpy())
        head = self._head if count == 1 else np.repeat(self._head, count, axis=0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("output0", head)])
