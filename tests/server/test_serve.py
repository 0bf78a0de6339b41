"""tools/serve.py: what each failure says, and the real tritonserver on tiny repositories."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serve
from echo_server import (
    CONFIG,
    DEADLINE_S,
    ECHO_MODEL,
    eventually,
    infer,
    token_of,
    traces,
    write_model,
)
from local_triton import (
    ALLOCATOR,
    LocalServer,
    ModelLoadError,
    PortTakenError,
    checks,
)

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    # Triton 2.51 would put this path into a shell command as it is.
    path = tmp_path / "a model repository; with spaces"
    write_model(path, "echo", ECHO_MODEL)
    return path


def test_welcome_says_what_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"pcb": "READY", "pcb_detector": "READY", "nms": "READY", "old": "UNAVAILABLE"}
    monkeypatch.setattr(LocalServer, "models", lambda _: states)
    text = serve._welcome(LocalServer("r", grpc_port=9001, http_port=9000, metrics_port=9002), 1.0)
    assert "tridet detect IMAGE --url 127.0.0.1:9001 --model pcb" in text
    assert "tridet status --url 127.0.0.1:9001" in text
    assert "old" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_warning(host: str) -> None:
    assert serve._is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "board.example"])
def test_other_addresses_are_warned_of(host: str) -> None:
    assert not serve._is_loopback(host)
    server = LocalServer("r", host=host, grpc_port=9001, http_port=9000, metrics_port=9002)
    text = serve._open_to_others(server)
    assert text.startswith(f"WARNING: --host {host} opens ports 9001, 9000, 9002 to everybody")
    assert "use every model and read the metrics" in text
    assert "needs its key" in text
    assert "\n" not in text


@pytest.mark.server
def test_the_command_warns_of_an_open_address(repository: Path, cli: Callable[..., Cli]) -> None:
    running = cli("--repository", str(repository), "--host", "0.0.0.0", *FREE_PORTS)
    running.until("Ctrl-C stops")
    running.process.terminate()
    status, _, err = running.end()
    assert status == 0
    assert err.startswith("WARNING: --host 0.0.0.0 opens ports ")


@pytest.mark.server
def test_two_servers_serve_this_environment_and_leave_nothing(repository: Path) -> None:
    import cv2
    import numpy as np

    (repository / "echo" / "configs").mkdir()
    named = CONFIG.replace("config.pbtxt", "configs/python.pbtxt")
    (repository / "echo" / "configs" / "python.pbtxt").write_text(named)
    lines: list[str] = []
    mine = {"MALLOC_TRIM_THRESHOLD_": "1048576"}
    with (
        LocalServer(repository, log=lines.append, environment=mine) as first,
        LocalServer(repository, model_config_name="other") as second,
    ):
        tokens = [token_of(each.http_url.removeprefix("http://")) for each in (first, second)]
        assert len({first.grpc_url, second.grpc_url, first.http_url, second.http_url}) == 4
        for server, which, malloc in (
            (first, "configs/python.pbtxt", {**ALLOCATOR, **mine}),
            (second, "config.pbtxt", ALLOCATOR),
        ):
            echoed, info = infer(server.grpc_url)
            assert echoed == [1.5, -2.0, 3.0]
            assert info["cv2"] == cv2.__file__
            assert info["numpy"] == np.__version__
            assert info["prefix"] == sys.prefix
            assert info["malloc"] == malloc  # of the server, whose child the model is
            assert info["which"] == which  # its configs/NAME.pbtxt, or config.pbtxt without one
            assert "tridet-serve-" in info["first_path"]  # not the working folder of the caller
            assert server.models() == {"echo": "READY"}
            assert server.running
            os.kill(server.pid, 0)
        assert all(traces(token) for token in tokens)
        second.stop()
        assert traces(tokens[1]) == []
        assert infer(first.grpc_url)[0] == [1.5, -2.0, 3.0]
        first.kill()
        assert traces(tokens[0]) == []
    assert "ready   echo" in lines
    assert "the echo model says hello" in lines
    assert first.wait() == 128 + signal.SIGKILL
    assert second.wait() == 0


@pytest.mark.server
@pytest.mark.parametrize("explicit", [False, True])
def test_broken_models_are_named_with_their_reasons(tmp_path: Path, explicit: bool) -> None:
    write_model(tmp_path, "echo", ECHO_MODEL)
    write_model(tmp_path, "broken", "import no_such_module_anywhere\n")
    with pytest.raises(ModelLoadError) as caught:
        LocalServer(tmp_path, explicit=explicit).start()
    assert "No module named 'no_such_module_anywhere'" in caught.value.failures["broken"]
    assert "broken/1/model.py(1)" in str(caught.value)
    assert list(caught.value.failures) == ["broken"]
    assert "\n" not in str(caught.value)


@pytest.mark.server
@pytest.mark.parametrize("explicit", [False, True])
def test_model_without_its_file_fails_instead_of_hanging(tmp_path: Path, explicit: bool) -> None:
    write_model(tmp_path, "hollow", None)
    with pytest.raises(ModelLoadError, match=r"'hollow'.*not found"):
        LocalServer(tmp_path, explicit=explicit).start()


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.mark.server
def test_port_lost_while_loading(
    repository: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free when looked at, taken when Triton binds: another one if it was ours to choose."""
    with pytest.raises(PortTakenError, match=f"{busy_port} is taken.*--http-port"):
        LocalServer(repository, http_port=busy_port).start()
    chosen = checks.free_ports
    tries: list[int] = []

    def lose_the_first(host: str, count: int) -> list[int]:
        tries.append(count)
        return chosen(host, count) if len(tries) > 1 else [*chosen(host, count - 1), busy_port]

    monkeypatch.setattr("local_triton.server.free_ports", lose_the_first)
    server = LocalServer(repository)
    try:
        server.start()
        assert str(busy_port) not in server.metrics_url
        assert len(tries) == 2
    finally:
        server.kill()


@pytest.mark.server
def test_log_callback_error_reaches_the_caller(repository: Path) -> None:
    def fail(_: str) -> None:
        raise LookupError("from the callback")

    with pytest.raises(LookupError, match="from the callback"):
        LocalServer(repository, log=fail).start()


@pytest.mark.server
def test_server_ends_when_its_owner_is_killed(repository: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(TOOLS)!r})
        from local_triton import LocalServer
        with LocalServer({str(repository)!r}) as server:
            print(server.http_url, flush=True)
            time.sleep(600)
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        token = token_of(owner.stdout.readline().strip().removeprefix("http://"))
        assert traces(token)
    finally:
        owner.kill()
        owner.communicate()
    eventually(lambda: traces(token) == [], "nothing left of the server")


class Cli:
    """A running `serve.py`, its output read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(TOOLS / "serve.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen: list[str] = []

    def until(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line)
            if line.strip().startswith(start):
                return line.strip()
        assert self.process.stderr is not None
        raise AssertionError(f"no {start!r} in {self.seen}: {self.process.stderr.read()}")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, "".join(self.seen) + out, err


@pytest.fixture
def cli() -> Iterator[Callable[..., Cli]]:
    started: list[Cli] = []

    def start(*arguments: str) -> Cli:
        started.append(Cli(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


FREE_PORTS = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")


@pytest.mark.server
def test_ctrl_c_stops_the_command(repository: Path, cli: Callable[..., Cli]) -> None:
    running = cli("--repository", str(repository), "--model", "echo", *FREE_PORTS)
    token = token_of(running.until("HTTP").rpartition("//")[2])
    running.until("Ctrl-C stops")
    running.process.send_signal(signal.SIGINT)
    status, out, err = running.end()
    assert (status, err) == (0, "")
    assert "ready   echo" in out
    assert "stopped because of Ctrl-C, exit status 0" in out
    assert traces(token) == []


@pytest.mark.server
def test_second_ctrl_c_kills(repository: Path, cli: Callable[..., Cli]) -> None:
    running = cli("--repository", str(repository), *FREE_PORTS)
    token = token_of(running.until("HTTP").rpartition("//")[2])
    running.until("Ctrl-C stops")
    running.process.send_signal(signal.SIGINT)
    running.until("Ctrl-C: stopping")
    running.process.send_signal(signal.SIGINT)
    status, out, err = running.end()
    assert (status, err) == (130, "")
    assert "killed, exit status 130" in out
    assert traces(token) == []


@pytest.mark.server
def test_the_command_starts_a_server_again_that_dies(
    repository: Path, cli: Callable[..., Cli]
) -> None:
    running = cli("--repository", str(repository), *FREE_PORTS)
    token = token_of(running.until("HTTP").rpartition("//")[2])
    running.until("Ctrl-C stops")
    binary = next(
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if f"--id=tridet-{token}".encode() in _command(process)
        and _command(process).split(b"\0")[0].endswith(b"bin/tritonserver")
    )
    os.kill(binary, signal.SIGKILL)
    assert running.until("tritonserver has died") == "tritonserver has died: starting it again"
    running.until("ready   echo")
    running.process.terminate()
    status, _, _ = running.end()
    assert status == 0
    assert traces(token) == []


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_command_names_a_taken_port(
    repository: Path, busy_port: int, cli: Callable[..., Cli]
) -> None:
    status, _, err = cli("--repository", str(repository), "--grpc-port", str(busy_port)).end()
    assert status == 1
    assert err.startswith(f"serve: error: port {busy_port} is taken by another process")
    assert len(err.splitlines()) == 1


def test_command_names_a_missing_repository(tmp_path: Path, cli: Callable[..., Cli]) -> None:
    status, _, err = cli("--repository", str(tmp_path / "none")).end()
    assert status == 1
    assert "is not a folder" in err
    assert len(err.splitlines()) == 1
