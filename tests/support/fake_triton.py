"""A Triton that lives in this process: the gRPC service, with a detector that finds bright squares.

It letterboxes what it gets as the real server does, looks for bright pixels in each colour channel
(blue is class 0, green 1, red 2) and maps their bounding boxes back to the picture it was sent. A
test changes how it behaves by replacing ``on_infer``.
"""

# ruff: noqa: ARG001, ARG002, N802 -- the generated service prescribes names and arguments.

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from typing import Any
from unittest import mock

import grpc
import numpy as np
from tridet.cli.main import main
from tridet.processing import contract
from tridet.processing.decode import ImageError, decode
from tridet.processing.letterbox import letterbox
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.grpc.model_config_pb2 import ModelConfig

LABELS = ("blue", "green", "red")
INPUT_SIZE = 64
MAX_PIXELS = 4_000_000
OnInfer = Callable[[Any, grpc.ServicerContext], None]


def detector_config(name: str = "pcb", **changes: str | None) -> ModelConfig:
    """Return the config of a contract model; a parameter set to None is left out."""
    parameters = {
        contract.PARAM_CONTRACT: str(contract.CONTRACT_VERSION),
        contract.PARAM_TASK: "detect",
        contract.PARAM_LABELS: json.dumps(LABELS),
        contract.PARAM_INPUT_SIZE: str(INPUT_SIZE),
        contract.PARAM_PRECISION: "fp32",
        contract.PARAM_DEFAULTS: json.dumps({"conf": 0.25, "iou": 0.45}),
        contract.PARAM_MAX_PIXELS: str(MAX_PIXELS),
        contract.PARAM_BUILD: json.dumps({"weights": "none"}),
    } | {f"tridet.{key}": value for key, value in changes.items()}
    config = ModelConfig(name=name, max_batch_size=8)
    tensor = contract.ENCODED if name.endswith(contract.ENCODED_SUFFIX) else contract.IMAGE
    config.input.add(name=tensor)
    for output in contract.DETECTIONS:
        config.output.add(name=output)
    for key, value in parameters.items():
        if value is not None:
            config.parameters[key].string_value = value
    return config


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The service; as a context manager it listens at ``url``; port 0 is any free one."""

    def __init__(
        self,
        workers: int = 16,
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ):
        self.models = {name: detector_config(name) for name in ("pcb", "pcb_encoded")} | {
            name: ModelConfig(name=name) for name in ("nms", "pcb_detector", "preprocess_64")
        }
        self.ready = True
        self.shares_memory = True
        self.on_infer: OnInfer = lambda *_: None
        self.requests: list[Any] = []
        self.calls: Counter[str] = Counter()
        self.regions: dict[str, SharedMemory] = {}
        self._lock = threading.Lock()
        self._in_flight = 0
        self.most_in_flight = 0
        self._server = grpc.server(
            ThreadPoolExecutor(workers),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        if credentials is None:
            port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.port = port
        self.url = f"localhost:{port}" if credentials else f"127.0.0.1:{port}"

    def __enter__(self) -> FakeTriton:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for region in self.regions.values():
            region.close()

    def stop(self) -> None:
        """Go away at once; calls that run are cut off."""
        self._server.stop(grace=None).wait()

    # Health and models ---------------------------------------------------------------------------
    def ServerReady(self, request, context):
        self.calls["ServerReady"] += 1
        return service_pb2.ServerReadyResponse(ready=self.ready)

    def ServerMetadata(self, request, context):
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelConfig(self, request, context):
        self.calls["ModelConfig"] += 1
        self._check_known(request.name, context)
        return service_pb2.ModelConfigResponse(config=self.models[request.name])

    def RepositoryIndex(self, request, context):
        response = service_pb2.RepositoryIndexResponse()
        for name in self.models:
            response.models.add(name=name, version="1", state="READY")
        return response

    def ModelStatistics(self, request, context):
        response = service_pb2.ModelStatisticsResponse()
        stats = response.model_stats.add(
            name="pcb", version="1", inference_count=6, execution_count=3
        )
        stats.inference_stats.success.count = 6
        for field, ns in (("queue", 6_000_000), ("compute_infer", 27_000_000)):
            getattr(stats.inference_stats, field).count = 6
            getattr(stats.inference_stats, field).ns = ns
        return response

    def SystemSharedMemoryRegister(self, request, context):
        self.calls["register"] += 1
        if not self.shares_memory:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unable to open shared memory region: '{request.key}'",
            )
        self.regions[request.name] = SharedMemory(request.key.lstrip("/"))
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def SystemSharedMemoryStatus(self, request, context):
        response = service_pb2.SystemSharedMemoryStatusResponse()
        for name in self.regions:
            response.regions[name].name, response.regions[name].key = name, f"/{name}"
        return response

    def SystemSharedMemoryUnregister(self, request, context):
        self.calls["unregister"] += 1
        self.regions.pop(request.name).close()
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    # Inference -----------------------------------------------------------------------------------
    def ModelInfer(self, request, context):
        with self._lock:
            self.calls["ModelInfer"] += 1
            self.requests.append(request)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            self._check_known(request.model_name, context)
            self.on_infer(request, context)
            try:
                image = self._image_of(request, context)
            except ImageError as error:
                reject(
                    "in ensemble 'pcb_encoded', Failed to process the request(s) for model "
                    f"'preprocess_64_0_0', message: {error}"
                )(request, context)
            return response_from(request.model_name, *detect(image))
        finally:
            with self._lock:
                self._in_flight -= 1

    def _image_of(self, request, context) -> np.ndarray:
        (tensor,) = request.inputs
        shape = tuple(tensor.shape)
        assert shape[0] == 1 and tensor.datatype == "UINT8"
        if "shared_memory_region" in tensor.parameters:
            name = tensor.parameters["shared_memory_region"].string_param
            if name not in self.regions:
                context.abort(
                    grpc.StatusCode.NOT_FOUND, f"Unable to find shared memory region: '{name}'"
                )
            size = tensor.parameters["shared_memory_byte_size"].int64_param
            content = bytes(self.regions[name].buf[:size])
        else:
            (content,) = request.raw_input_contents
        if tensor.name == contract.ENCODED:
            return decode(content, formats=contract.FORMATS, max_pixels=MAX_PIXELS)
        return np.frombuffer(content, np.uint8).reshape(shape[1:])

    def _check_known(self, name: str, context) -> None:
        if name not in self.models:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found"
            )


def reject(
    text: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT, times: int = 10**9
) -> OnInfer:
    """Return a behaviour: the first ``times`` requests fail."""
    left = iter(range(times))

    def on_infer(request: Any, context: grpc.ServicerContext) -> None:
        if next(left, None) is not None:
            context.abort(code, text)

    return on_infer


def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes float32 [n, 4] in pixels of ``image``, scores [n] and class ids int32 [n]."""
    canvas = np.full((INPUT_SIZE, INPUT_SIZE, 3), contract.PAD_VALUE, np.uint8)
    scale_x, scale_y, left, top, width, height = letterbox(image, canvas)
    boxes, scores, class_ids = [], [], []
    for class_id in range(3):
        rows, columns = np.nonzero(canvas[:, :, class_id] > 180)
        if len(rows):
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            boxes.append((box - [left, top, left, top]) / [scale_x, scale_y, scale_x, scale_y])
            scores.append(0.9 - 0.1 * class_id)
            class_ids.append(class_id)
    clipped = np.clip(np.reshape(boxes, (-1, 4)), 0, [width, height, width, height])
    return clipped.astype(np.float32), np.float32(scores), np.int32(class_ids)


def response_from(model: str, boxes: np.ndarray, scores: np.ndarray, class_ids: np.ndarray) -> Any:
    """Return the ModelInferResponse of one image, batch dimension 1."""
    arrays = dict(
        zip(contract.DETECTIONS, (np.int32([len(scores)]), boxes, scores, class_ids), strict=True)
    )
    response = service_pb2.ModelInferResponse(model_name=model)
    for name, array in arrays.items():
        datatype = "INT32" if array.dtype == np.int32 else "FP32"
        response.outputs.add(name=name, datatype=datatype, shape=(1, *array.shape))
        response.raw_output_contents.append(array.tobytes())
    return response


def picture(width: int, height: int) -> np.ndarray:
    """Return a black uint8 [h, w, 3] image with a blue and a red rectangle."""
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 5 : height // 2, width // 7 : width // 3, 0] = 255
    image[height // 2 : height, width // 2 : width - width // 9, 2] = 255
    return image


def run_cli(*arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    command = ["tridet", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("main() returned instead of exiting")
