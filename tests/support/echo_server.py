"""A repository of one tiny model that says where it runs, and what is left of a server of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DEADLINE_S = 60.0
SHM = Path("/dev/shm")

ECHO_MODEL = """
import json, os, sys
import cv2, numpy, onnxruntime
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        self.which = json.loads(args["model_config"])["parameters"]["which"]["string_value"]
        print("the echo model says hello", flush=True)

    def execute(self, requests):
        info = {
            "cv2": cv2.__file__,
            "onnxruntime": onnxruntime.__file__,
            "numpy": numpy.__version__,
            "prefix": sys.prefix,
            "first_path": os.path.realpath(sys.path[0] or os.getcwd()),
            "which": self.which,
            "malloc": {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")},
        }
        told = numpy.frombuffer(json.dumps(info).encode(), numpy.uint8).copy()
        return [
            pb.InferenceResponse(
                [pb.Tensor.from_dlpack("Y", pb.get_input_tensor_by_name(request, "X")),
                 pb.Tensor.from_dlpack("INFO", told)]
            )
            for request in requests
        ]
"""

CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [
  { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] },
  { name: "INFO" data_type: TYPE_UINT8 dims: [ -1 ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters [ { key: "which" value: { string_value: "config.pbtxt" } } ]
"""


def write_model(repository: Path, name: str, source: str | None) -> None:
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    if source is not None:
        (folder / "1" / "model.py").write_text(source)


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.01)


def token_of(server_address: str) -> str:
    """What is unique to a server, as it tells over HTTP (host:port)."""
    connection = http.client.HTTPConnection(server_address, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/v2")
        return str(json.loads(connection.getresponse().read())["name"]).removeprefix("tridet-")


def traces(token: str) -> list[str]:
    """What there is of the server with this token: processes, shared memory, folders."""
    found = [str(path) for path in SHM.glob(f"tridet_{token}_*")]
    found += [str(path) for path in Path(tempfile.gettempdir()).glob(f"tridet-serve-{token}")]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"tridet-serve-{token}" in command:
                found.append(command)
    return found


def infer(url: str) -> tuple[list[float], dict[str, str]]:
    import numpy as np
    import tritonclient.grpc as grpcclient

    sent = np.array([1.5, -2.0, 3.0], np.float32)
    tensor = grpcclient.InferInput("X", list(sent.shape), "FP32")
    tensor.set_data_from_numpy(sent)
    with contextlib.closing(grpcclient.InferenceServerClient(url)) as client:
        result = client.infer("echo", [tensor], client_timeout=DEADLINE_S)
    return result.as_numpy("Y").tolist(), json.loads(result.as_numpy("INFO").tobytes())
