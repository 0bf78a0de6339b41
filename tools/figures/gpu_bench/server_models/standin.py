"""Triton step ``<name>_detector`` of the GPU benchmark: a stand-in for a TensorRT plan.

PyTorch, because TensorRT cannot be installed on the machine that is measured. One execute call
makes one batch: its frames are uploaded from where they lie; one CUDA graph, one download.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from standin_network import Graph, network_from
from standin_pinned import PinnedMappings
from tridet_processing.contract import BOXES, CLASS_IDS, IMAGES, SCORES

_OUTPUTS = (BOXES, SCORES, CLASS_IDS)


class TritonPythonModel:
    """Adapter; see ``standin_network`` for the work."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        torch.set_num_threads(1)
        self._pinned = None
        if parameters["device"] == "cuda":
            # Triton ends an instance's name with its number in the group.
            number = int(args["model_instance_name"].rpartition("_")[2])
            torch.cuda.set_device(number % int(parameters["gpus"]))
            self._pinned = PinnedMappings()
        folder = Path(args["model_repository"]) / args["model_version"]
        network = network_from(folder / "trunk.pt", parameters["device"])
        # Descending, so that the largest finds memory in one piece.
        sizes = sorted(json.loads(parameters["batches"]), reverse=True)
        self._graphs = {size: Graph(network, size) for size in sizes}
        # For the benchmark: executions, frames, seconds of upload, compute and answer.
        self._spent = np.memmap(folder / f"spent-{os.getpid()}", np.float64, "w+", shape=(5,))

    def execute(self, requests: list[Any]) -> list[Any]:
        started = time.perf_counter()
        # DLPack, so that neither side copies and NumPy's version does not matter to PyTorch.
        parts = [
            torch.from_dlpack(pb_utils.get_input_tensor_by_name(request, IMAGES).to_dlpack())
            for request in requests
        ]
        if self._pinned is not None:
            for part in parts:
                self._pinned.pin(part)
        frames = sum(len(part) for part in parts)
        graph = self._graphs[min(size for size in self._graphs if size >= frames)]
        outputs, upload_s = graph.run(parts)
        computed = time.perf_counter()
        responses, start = [], 0
        for part in parts:
            rows = slice(start, start + len(part))
            start = rows.stop
            tensors = [
                pb_utils.Tensor.from_dlpack(name, output[rows].contiguous())
                for name, output in zip(_OUTPUTS, outputs, strict=True)
            ]
            responses.append(pb_utils.InferenceResponse(tensors))
        answer_s = time.perf_counter() - computed
        compute_s = computed - started - upload_s
        self._spent += (1, frames, upload_s, compute_s, answer_s)
        return responses
