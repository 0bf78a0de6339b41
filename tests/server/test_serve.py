"""tools/serve.py: what each failure says, and the real tritonserver on tiny repositories."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import local_triton
import pytest
import serve
from local_triton import (
    InstallationError,
    LocalServer,
    ModelLoadError,
    PortTakenError,
    RepositoryError,
    ServeError,
    _checks,
    _folder,
)
from local_triton._environment import ALLOCATOR
from local_triton._failures import startup_error, timeout_error
from local_triton._log import TritonLog, reason_from_triton

DEADLINE_S = 60.0
TOOLS = Path(__file__).resolve().parents[2] / "tools"
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


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    # Triton 2.51 would put this path into a shell command as it is.
    path = tmp_path / "a model repository; with spaces"
    write_model(path, "echo", ECHO_MODEL)
    return path


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)


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


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


# What each failure says


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: _checks.check_platform("Darwin", "arm64"), ["Darwin arm64", "container"]),
        (lambda: _checks.check_platform("Linux", "aarch64"), ["aarch64", "x86-64"]),
        (lambda: _checks.check_python((3, 14)), ["3.14", "3.10 to 3.13", "uv venv"]),
        (lambda: _checks.check_python((3, 9)), ["3.9"]),
        (lambda: _checks.check_glibc("2.31"), ["2.31", "2.35"]),
        (lambda: _checks.check_glibc(None), ["no glibc", "2.35"]),
        (lambda: _checks.check_bash(None), ["bash", "apt-get install"]),
        (lambda: _checks.find_wheel((3, 11), None), ["pip install --no-deps nvidia-pytriton"]),
        (
            lambda: _checks.find_libpython((3, 12), [], "libpython3.11.so.1.0 (x) => /x"),
            ["libpython3.12.so.1.0", "apt-get install libpython3.12", "uv", "--enable-shared"],
        ),
    ],
)
def test_installation_failure_names_its_fix(check: Callable[[], object], said: list[str]) -> None:
    with pytest.raises(InstallationError) as caught:
        check()
    text = str(caught.value)
    assert "\n" not in text
    assert [part for part in said if part not in text] == []


def test_checks_pass_what_works() -> None:
    _checks.check_platform("Linux", "x86_64")
    for minor in (10, 11, 12, 13):
        _checks.check_python((3, minor))
    for version in ("2.35", "2.36", "2.41.9000", "3.0"):
        _checks.check_glibc(version)
    assert _checks.site_packages_of("no_such_package_anywhere") is None


@pytest.mark.parametrize("call", ["tensor.as_numpy()", 'pb_utils.Tensor("Y", array)'])
def test_a_model_that_numpy_2_would_get_empty_tensors_in_is_refused(
    tmp_path: Path, call: str
) -> None:
    write_model(tmp_path, "old", f"import numpy\nanswer = {call}\n")
    _checks.check_numpy_use("1.26.4", tmp_path)
    with pytest.raises(RepositoryError, match=r"old/1/model\.py.*2\.1\.3.*from_dlpack"):
        _checks.check_numpy_use("2.1.3", tmp_path)


def test_incomplete_wheel_names_the_missing_part(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match=r"bin/tritonserver.*force-reinstall"):
        _checks.find_wheel((3, 11), tmp_path)


def test_libpython_is_found_in_a_folder_and_in_the_cache(tmp_path: Path) -> None:
    library = tmp_path / "libpython3.12.so.1.0"
    library.touch()
    cache = f"\tlibpython3.12.so.1.0 (libc6,x86-64) => {library}\n\tlibz.so.1 (libc6) => /x\n"
    assert _checks.find_libpython((3, 12), [tmp_path / "no", tmp_path], "") == library
    assert _checks.find_libpython((3, 12), [], cache) == library


def test_missing_and_empty_repositories(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"nowhere is not a folder.*--repository"):
        _checks.check_repository(tmp_path / "nowhere", [], "python")
    (tmp_path / "notes").mkdir()
    with pytest.raises(RepositoryError, match="holds no model"):
        _checks.check_repository(tmp_path, [], "python")
    (tmp_path / "nms" / "configs").mkdir(parents=True)
    (tmp_path / "nms" / "configs" / "python.pbtxt").touch()
    _checks.check_repository(tmp_path, ["nms"], "python")
    with pytest.raises(RepositoryError, match=r"'pcb' is not in .* one of nms"):
        _checks.check_repository(tmp_path, ["pcb"], "python")


def test_port_failures_name_the_option(busy_port: int) -> None:
    with pytest.raises(PortTakenError, match=rf"{busy_port} is taken.*--grpc-port") as caught:
        _checks.check_port("--grpc-port", "127.0.0.1", busy_port)
    assert caught.value.option == "--grpc-port"
    with pytest.raises(PortTakenError, match=r"cannot listen on 192\.0\.2\.1.*--host"):
        _checks.check_port("--grpc-port", "192.0.2.1", 0)
    assert len(set(_checks.free_ports("127.0.0.1", 20))) == 20


# The log


def feed(*lines: str, has_gpu: bool = False) -> tuple[TritonLog, list[str]]:
    log = TritonLog(has_gpu=has_gpu)
    return log, [shown for line in lines for shown in log.feed(line)]


STAMP = "1121 08:08:44.235508 4978"
NOISE = (
    f'W{STAMP} pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned '
    'memory pool will not be available: CUDA driver version is insufficient"',
    f'I{STAMP} cuda_memory_manager.cc:117] "CUDA memory pool disabled"',
    f'E{STAMP} server.cc:241] "CudaDriverHelper has not been initialized."',
    f'W{STAMP} pinned_memory_manager.cc:170] "failed to allocate pinned system memory: no pinned '
    'memory pool, falling back to non-pinned system memory"',
    f'E{STAMP} ensemble_scheduler.cc:1468] "unable to create stream for pcb: CUDA driver version '
    'is insufficient for CUDA runtime version"',
    "Error: Failed to initialize NVML",
    f'W{STAMP} metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
)


def test_noise_of_a_machine_without_gpu_is_one_line() -> None:
    assert feed(*NOISE)[1] == ["no GPU found: CPU only"]
    assert "GPU cannot be used" in feed(*NOISE, has_gpu=True)[1][0]
    log = TritonLog(has_gpu=False, verbose=True)
    assert [shown for line in NOISE for shown in log.feed(line)] == list(NOISE)


def test_log_keeps_models_warnings_errors_and_what_models_print() -> None:
    log, shown = feed(
        f'I{STAMP} model_lifecycle.cc:472] "loading: nms:1"',
        f'I{STAMP} python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: nms_0_0"',
        "printed by a model",
        f'W{STAMP} model.py:8] "a model warns"',
        f"I{STAMP} server.cc:604] ",
        "+----+",
        "| x  |",
        "",
        f"I{STAMP} model_lifecycle.cc:839] \"successfully loaded 'nms'\"",
        f'E{STAMP} x.cc:1] "first\\nsecond"',
    )
    assert shown == [
        "loading nms",
        "printed by a model",
        "warning: a model warns",
        "ready   nms",
        "error: first",
        "second",
    ]
    assert (log.loading, log.loaded) == (["nms"], ["nms"])


def test_reason_is_one_line_with_the_place_of_the_error() -> None:
    reason = "Internal: ValueError: a\n b\n\nAt:\n  /r/m/1/model.py(3): initialize\n  x(9): f\n"
    assert reason_from_triton(reason) == "Internal: ValueError: a b at /r/m/1/model.py(3)"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "model_lifecycle.cc:642] \"failed to load 'm' version 1: Invalid argument: unable to "
            "find backend library for backend 'onnxruntime', try\"",
            ["'m'", "Python backend only", "--model-config-name python"],
        ),
        (
            "x.cc:724] \"failed to load model 'm': at least one version must be available under\"",
            ["'m'", "version folder"],
        ),
        ("x.cc:1460] \"Poll failed for model directory 'm': failed to read\"", ["'m'", "failed"]),
        ("x.cc:1] \"failed to load 'm' version 1: No module named 'cv3'\"", ["install it into"]),
        (
            "x.cc:1] \"failed to load 'm' version 1: Stub process 'm_0_0' is not healthy.\"",
            ["process ended", "log"],
        ),
        (
            'main.cc:257] "failed to start HTTP service: Unavailable - '
            "Socket '127.0.0.1:8000' already in use \"",
            ["8000", "--http-port"],
        ),
        ('x.cc:1] "something else"', ["status 1", "something else", "--verbose"]),
    ],
)
def test_startup_error_names_its_fix(line: str, said: list[str]) -> None:
    text = str(startup_error(feed(f"E{STAMP} {line}")[0], (8001, 8000, 8002), 1))
    assert "\n" not in text
    assert [part for part in said if part not in text] == []


def test_a_start_that_would_never_end_is_noticed() -> None:
    """Triton 2.51 waits for ever for a stub that could not start."""
    line = "/x/triton_python_backend_stub: error while loading shared libraries: libpython3.11.so"
    log, _ = feed(line)
    assert log.hung is not None
    assert "libpython3.11.so" in str(startup_error(log, (1, 2, 3), None))
    log, _ = feed(f"I{STAMP} pb_stub.cc:2105]  Failed to preinitialize Python stub: Python model "
                  "file not found in '/r/nms/1/model.py'")  # fmt: skip
    assert log.hung is not None
    assert list(log.failures) == ["nms"]


def test_timeout_names_the_models_that_are_loading() -> None:
    log, _ = feed(f'I{STAMP} x.cc:1] "loading: slow:1"')
    assert "still loading slow" in str(timeout_error(log, 3))


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


def test_leftovers_of_a_killed_supervisor_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stale, lock = _folder.make_folder()
    os.close(lock)
    used, held = _folder.make_folder()
    region = SHM / f"{_folder.shm_prefix(_folder.token_of(stale))}region"
    region.touch()
    try:
        _folder.remove_leftovers()
        assert not stale.exists()
        assert not region.exists()
        assert used.exists()
    finally:
        os.close(held)
        region.unlink(missing_ok=True)


def test_shared_memory_is_taken_by_what_is_free() -> None:
    sizes = [_folder.shm_bytes_per_instance(mib << 20) >> 20 for mib in (64, 200, 4096)]
    assert sizes == [1, 8, 16]


def test_private_folder_has_a_path_that_a_shell_leaves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = tmp_path / "with space"
    spaced.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spaced))
    folder, lock = _folder.make_folder()
    try:
        assert " " not in str(folder)
    finally:
        os.close(lock)
        (folder / "lock").unlink()
        folder.rmdir()


# The real server


def infer(url: str) -> tuple[list[float], dict[str, str]]:
    import numpy as np
    import tritonclient.grpc as grpcclient

    sent = np.array([1.5, -2.0, 3.0], np.float32)
    tensor = grpcclient.InferInput("X", list(sent.shape), "FP32")
    tensor.set_data_from_numpy(sent)
    with contextlib.closing(grpcclient.InferenceServerClient(url)) as client:
        result = client.infer("echo", [tensor], client_timeout=DEADLINE_S)
    return result.as_numpy("Y").tolist(), json.loads(result.as_numpy("INFO").tobytes())


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


@pytest.mark.server
def test_port_lost_while_loading(
    repository: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free when looked at, taken when Triton binds: another one if it was ours to choose."""
    with pytest.raises(PortTakenError, match=f"{busy_port} is taken.*--http-port"):
        LocalServer(repository, http_port=busy_port).start()
    chosen = _checks.free_ports
    tries: list[int] = []

    def lose_the_first(host: str, count: int) -> list[int]:
        tries.append(count)
        return chosen(host, count) if len(tries) > 1 else [*chosen(host, count - 1), busy_port]

    monkeypatch.setattr("local_triton._server.free_ports", lose_the_first)
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


def test_every_error_is_a_serve_error() -> None:
    errors = [
        getattr(local_triton, name) for name in local_triton.__all__ if name.endswith("Error")
    ]
    assert len(errors) == 7
    assert all(issubclass(error, ServeError) for error in errors)


# Kept up


def steps_of(server: LocalServer) -> list[int]:
    """The processes of the server's Python models."""
    tasks = Path(f"/proc/{server.pid}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def answers(server: LocalServer) -> bool:
    try:
        return infer(server.grpc_url)[0] == [1.5, -2.0, 3.0]
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
    before, token = server.pid, token_of(server.http_url.removeprefix("http://"))
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
    # HTTP comes up a moment after gRPC.
    eventually(lambda: server._is_ready(), "HTTP")
    assert token_of(server.http_url.removeprefix("http://")) == token


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


def test_leftovers_of_strangers_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder named like a pattern once removed what a running server had in shared memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trap, link = tmp_path / "tridet-serve-*", tmp_path / "tridet-serve-0123abcd"
    trap.mkdir()
    (trap / "lock").touch()
    link.symlink_to(trap)
    region = SHM / f"tridet_{'0' * 8}_test"
    region.touch()
    try:
        _folder.remove_leftovers()
        assert trap.is_dir() and link.is_symlink() and region.exists()
    finally:
        region.unlink()


def test_the_first_process_of_a_container_keeps_its_server_up(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho started $$ $1\nexec sleep 60\n")
    server.chmod(0o755)
    supervisor = TOOLS / "local_triton" / "_supervisor.py"
    prefix = f"tridet_test_{os.getpid()}_"
    command = [sys.executable, "-I", str(supervisor), "--container", "5", prefix]
    with subprocess.Popen(
        [*command, str(server), "--port=1"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        started, pid, option = first.stdout.readline().split()
        assert (started, option) == ("started", "--port=1")
        region = SHM / f"{prefix}region"
        region.touch()
        os.kill(int(pid), signal.SIGKILL)
        assert first.stdout.readline() == "tritonserver has died: starting it again\n"
        assert first.stdout.readline().split()[1] != pid
        assert not region.exists()
        first.terminate()
        assert first.wait(30) == 128 + signal.SIGTERM
