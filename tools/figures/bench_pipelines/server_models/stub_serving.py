"""Triton model: a detector with the serving graph that answers at once; ``model.py`` of the stub.

Its answer is what the serving graph would make of the raw head that ``stub_raw`` gives.
"""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from bench_scene import candidates  # type: ignore[import-not-found]
from tridet_tensors import array_from_request, tensor_from_array


class TritonPythonModel:
    """UINT8 [n, 640, 640, 3] in, always the same boxes, scores and class ids out."""

    def initialize(self, args: dict[str, str]) -> None:
        del args
        outputs = zip(("boxes", "scores", "class_ids"), candidates(), strict=True)
        self._outputs = [(name, array[None]) for name, array in outputs]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        count = len(array_from_request(request, "images"))
        return pb_utils.InferenceResponse(
            [
                tensor_from_array(name, array if count == 1 else np.repeat(array, count, axis=0))
                for name, array in self._outputs
            ]
        )
