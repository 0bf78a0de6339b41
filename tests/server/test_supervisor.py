"""The supervisor keeps a real tritonserver up, whatever kills it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from echo_server import ECHO_MODEL, eventually, infer, token_of, write_model
from local_triton import LocalServer


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path, "echo", ECHO_MODEL)
    return tmp_path


def steps_of(server: LocalServer) -> list[int]:
    """The processes of the server's Python models."""
    tasks = Path(f"/proc/{server.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def token(server: LocalServer) -> str:
    return token_of(server.http_url.removeprefix("http://"))


def answers(server: LocalServer) -> bool:
    """Whether it answers over gRPC, and over HTTP, which opens later."""
    try:
        return infer(server.grpc_url)[0] == [1.5, -2.0, 3.0] and bool(token(server))
    except Exception:
        return False


@pytest.fixture
def kept_up(repository: Path) -> Iterator[tuple[LocalServer, list[str]]]:
    lines: list[str] = []
    with LocalServer(repository, log=lines.append, keep_up=True) as server:
        yield server, lines


@pytest.mark.server
@pytest.mark.parametrize("attack", ["a step killed", "the server killed", "shapes that overflow"])
def test_a_server_that_dies_is_started_again(
    kept_up: tuple[LocalServer, list[str]], attack: str
) -> None:
    server, lines = kept_up
    assert answers(server)
    before, named = server.pid, token(server)
    del lines[:]
    if attack == "a step killed":
        for step in steps_of(server):
            os.kill(step, signal.SIGKILL)
    elif attack == "the server killed":
        os.kill(server.pid, signal.SIGKILL)
    else:
        overflow(server.grpc_url)
    eventually(lambda: server.pid != before, "another process")
    eventually(lambda: answers(server), "an answer")
    assert server.running
    assert len([line for line in lines if line.endswith("starting it again")]) == 1
    assert token(server) == named


def overflow(url: str) -> None:
    """Ask for a tensor whose bytes, counted in 64 bits, are none; it ends the step's process."""
    import tritonclient.grpc as grpcclient
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="X", datatype="FP32")
    tensor.shape.append(2**62)
    request.raw_input_contents.append(b"")
    with (
        contextlib.closing(grpcclient.InferenceServerClient(url)) as client,
        contextlib.suppress(Exception),
    ):
        client._client_stub.ModelInfer(request, timeout=5)


@pytest.mark.server
def test_a_server_that_keeps_dying_is_given_up(repository: Path) -> None:
    lines: list[str] = []
    server = LocalServer(repository, log=lines.append, keep_up=True)
    server.start()
    (repository / "echo" / "1" / "model.py").write_text("import no_such_module_anywhere\n")
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not server.running, "the end")
    assert server.wait(10) not in (None, 0)
    assert lines[-1].endswith("times within 20 s of a start: give up")
