"""Overload on the real tritonserver: refused at once, never stuck, never without bound."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as triton
from admission_table import under_way
from echo_server import eventually
from edits import slow_down
from local_triton import LocalServer
from stub_onnx import write_detector
from tridet import Detector, Overloaded
from tridet.processing import contract
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server
FRAME = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A detector that takes 0.2 s a batch of at most 2, behind a door for 4 frames."""
    root = tmp_path_factory.mktemp("slow")
    limits = "[limits]\nmax_in_flight = 4\nmax_wait_s = 5.0\n[batch]\nopt = 1\nmax = 2\n"
    write_detector(root / "slow", limits)
    write(load_manifests([root / "slow"]), root / "repository")
    slow_down(root / "repository", "slow", 0.2)
    with LocalServer(root / "repository") as server:
        yield server


def outcomes(server: LocalServer, calls: int, **options: object) -> list[str]:
    """Call at the same time, each from a thread; give the names of results and errors."""
    got: list[str] = []

    def call() -> None:
        with Detector(server.grpc_url, "slow", retries=0, **options) as detector:  # type: ignore[arg-type]
            try:
                detector(FRAME)
                got.append("served")
            except Overloaded:
                got.append("overloaded")

    threads = [threading.Thread(target=call) for _ in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_more_than_fit_are_refused_and_the_rest_served(slow_server: LocalServer) -> None:
    got = outcomes(slow_server, 16)
    assert 4 <= got.count("served") < 16
    assert got.count("served") + got.count("overloaded") == 16


def test_retries_serve_everyone_in_the_end(slow_server: LocalServer) -> None:
    with Detector(slow_server.grpc_url, "slow", retries=50, timeout_s=60) as detector:
        assert len(detector([FRAME] * 12)) == 12


def test_a_frame_that_would_be_late_is_refused_at_the_door(slow_server: LocalServer) -> None:
    with Detector(slow_server.grpc_url, "slow", retries=0, timeout_s=60) as detector:
        detector(FRAME)  # from now on the server knows how long it takes
        busy = threading.Thread(target=outcomes, args=(slow_server, 3))
        busy.start()
        eventually(lambda: under_way(slow_server) == 3, "three under way, for 0.4 s")
        with pytest.raises(Overloaded, match="expected to take at most"):
            detector(FRAME, timeout_s=0.15)
        busy.join()


def test_requests_that_fail_behind_the_door_are_counted_out(slow_server: LocalServer) -> None:
    tensor = triton.InferInput(contract.IMAGE, [1, 64, 64, 3], "UINT8")
    tensor.set_data_from_numpy(FRAME[None])
    with triton.InferenceServerClient(slow_server.grpc_url) as client:
        for _ in range(6):  # more than fit
            with pytest.raises(InferenceServerException, match="conf: expected a number"):
                client.infer("slow", [tensor], parameters={"conf": 7.0})
