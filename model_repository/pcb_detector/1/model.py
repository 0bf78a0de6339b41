"""Triton step ``<name>_detector``, runtime ``python``: the serving graph in ONNX Runtime.

For a tritonserver without an onnxruntime or tensorrt backend. Rendered into the model repository by
tridet-build, with its siblings tridet_*; ``model.onnx`` beside it is the serving graph.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from tridet_processing.contract import BOXES, CLASS_IDS, IMAGES, SCORES, STEP_THREADS
from tridet_tensors import array_from_request, tensor_from_array

_OUTPUTS = (BOXES, SCORES, CLASS_IDS)


class TritonPythonModel:
    """Adapter: one ``run`` for all the requests that Triton's dynamic batcher brought together."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"][STEP_THREADS]["string_value"])
        # Idle threads that spin take the cores from the steps before and after.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        if not path.is_file():
            raise pb_utils.TritonModelException(
                f"{path.name} is missing in {path.parent}; `make repository` makes it"
            )
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        frames = [array_from_request(request, IMAGES) for request in requests]
        batch = frames[0] if len(frames) == 1 else np.concatenate(frames)
        outputs = self._session.run(_OUTPUTS, {IMAGES: batch})
        responses, start = [], 0
        for part in frames:
            rows = slice(start, start + len(part))
            start = rows.stop
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        tensor_from_array(name, output[rows])
                        for name, output in zip(_OUTPUTS, outputs, strict=True)
                    ]
                )
            )
        return responses
