"""docker-compose.yml run by a real Docker engine, on a stand-in for NVIDIA's image."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from docker_engine import Engine, EngineError
from local_triton import LocalServer
from tridet.access import GRPC_HEADER
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as services

ROOT = Path(__file__).parents[2]
REPOSITORY = ROOT / "model_repository"
SERVICE = "triton-cpu"
IMAGE = "nvcr.io/nvidia/tritonserver:26.11-py3"
KEY = "0123456789abcdef"
GRACE_S = 40

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        started = Engine().__enter__()
    except (EngineError, PermissionError) as error:
        pytest.skip(f"NO CONTAINER IS TESTED: dockerd does not start on this machine: {error}")
    try:
        started.run(Path(__file__).parent / "base_image.sh", sys.prefix, IMAGE)
        yield started
    finally:
        started.__exit__(None, None, None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """The service without a GPU, as docker-compose.yml has it but for the ports on the host."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.port = free_port()
        self._variables = {
            "COMPOSE_PROJECT_NAME": "tridet-test",
            "TRIDET_GRPC_PORT": str(self.port),
            "TRIDET_HTTP_PORT": str(free_port()),
            "TRIDET_METRICS_PORT": str(free_port()),
            "TRIDET_KEY": KEY,
        }

    def compose(self, *arguments: str | Path, check: bool = True) -> tuple[int, str]:
        files = [
            "--project-directory",
            str(ROOT),
            "--file",
            str(ROOT / "docker-compose.yml"),
            "--profile",
            "cpu",
        ]
        done = self.engine.run("docker-compose", *files, *arguments, check=check, **self._variables)
        return done.returncode, done.stdout

    def up(self) -> None:
        """Start it and wait until its health check says that it detects."""
        self.start("--build")
        self.await_health()

    def start(self, *options: str) -> None:
        self.compose("up", "--detach", *options)
        self.id = self.compose("ps", "--quiet")[1].split()[-1]

    def state(self) -> dict[str, Any]:
        inspected: list[dict[str, Any]] = json.loads(
            self.engine.run("docker", "inspect", self.id).stdout
        )
        state: dict[str, Any] = inspected[0]["State"]
        return state

    def await_health(self) -> None:
        deadline = time.monotonic() + 120
        while self.state()["Health"]["Status"] != "healthy":
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.5)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.engine.run("docker", "exec", self.id, *command, check=False)

    def await_detections(self) -> None:
        """Wait until the very command of the health check says that each detector detects."""
        deadline = time.monotonic() + 60
        while (found := self.execute("python3", "/tridet/healthcheck.py", "/models")).returncode:
            assert time.monotonic() < deadline, found.stdout + self.log()
            time.sleep(0.2)

    def processes(self, name: str) -> list[str]:
        return self.execute("pidof", name).stdout.split()

    def log(self) -> str:
        return self.engine.run("docker", "logs", self.id).stdout


@pytest.fixture(scope="module")
def service(engine: Engine) -> Iterator[Service]:
    """It is up and healthy; what is left of it afterwards goes."""
    service = Service(engine)
    service.up()
    yield service
    service.compose("down")


def detected(url: str, folder: Path) -> list[dict[str, Any]]:
    """What `tridet detect` finds on the samples."""
    output = folder / "detections.json"
    command = [sys.executable, "-m", "tridet", "detect", str(ROOT / "models/pcb/samples")]
    subprocess.run([*command, "--url", url, "--json", str(output)], check=True, timeout=120)
    found: list[dict[str, Any]] = json.loads(output.read_text())
    return found


def test_it_finds_what_the_demo_finds(service: Service, tmp_path: Path) -> None:
    found = detected(f"127.0.0.1:{service.port}", tmp_path)
    assert sum(len(image["detections"]) for image in found) == 38
    with LocalServer(REPOSITORY, model_config_name="python") as local:
        assert found == detected(local.grpc_url, tmp_path)
    # The stand-in is what it says: the check of the repository warns of such an old server.
    assert "Triton 24.10 has known security holes" in " ".join(service.log().split())


def test_nothing_in_it_can_be_written_and_nobody_is_root(service: Service) -> None:
    assert service.execute("id", "--user", "--name").stdout == "triton-server\n"
    for path in ("/models/x", "/tridet/x", "/opt/tritonserver/x", "/x"):
        assert "Read-only file system" in service.execute("touch", path).stdout
    assert service.execute("df", "--output=size", "/dev/shm").stdout.split()[-1] == "2097152"
    (capabilities,) = service.execute("grep", "CapEff", "/proc/1/status").stdout.split()[1:]
    assert int(capabilities, 16) == 0


def test_the_key_opens_what_manages_the_server(service: Service) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
        stub = services.GRPCInferenceServiceStub(channel)
        request = messages.RepositoryIndexRequest()
        for metadata in ((), ((GRPC_HEADER, "wrong"),)):
            with pytest.raises(grpc.RpcError) as refused:
                stub.RepositoryIndex(request, metadata=metadata, timeout=10)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert "This protocol is restricted" in refused.value.details()
        index = stub.RepositoryIndex(request, metadata=((GRPC_HEADER, KEY),), timeout=10)
        assert "pcb" in {model.name for model in index.models}


@pytest.mark.parametrize(
    ("victim", "said"),
    [
        ("triton_python_backend_stub", "the process of a Python step has died"),
        ("tritonserver", "tritonserver has died"),
    ],
)
def test_what_is_killed_is_started_again(service: Service, victim: str, said: str) -> None:
    before = service.processes("tritonserver") + service.processes("triton_python_backend_stub")
    killed = service.processes(victim)[0]
    assert service.execute("sh", "-c", f"kill -KILL {killed}").returncode == 0
    deadline = time.monotonic() + 30
    while f"{said}: starting it again" not in service.log():
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.1)
    service.await_detections()
    after = service.processes("tritonserver") + service.processes("triton_python_backend_stub")
    assert len(after) == len(before)
    assert not set(after) & set(before)
    # Of the dead server nothing is left: a region of each step, and the table of the admission.
    regions = service.execute("ls", "/dev/shm").stdout.split()
    assert len(regions) == len(after)
    assert service.state()["Health"]["Status"] == "healthy"
    assert (
        service.engine.run("docker", "inspect", service.id).stdout.count('"RestartCount": 0') == 1
    )


# The last of those that have the service.
def test_it_stops_in_time_and_leaves_nothing(service: Service) -> None:
    service.engine.run("docker", "stop", f"--time={GRACE_S}", service.id)
    # What is not done when the grace is over is killed, status 137.
    assert service.state()["ExitCode"] in (0, 143)
    service.compose("down")
    for kind in (
        "ps --all --quiet",
        "volume ls --quiet",
        "network ls --quiet --filter type=custom",
    ):
        assert service.engine.run("docker", *kind.split()).stdout == ""
    # Also while it still checks the repository.
    service.start()
    service.engine.run("docker", "stop", f"--time={GRACE_S}", service.id)
    assert service.state()["ExitCode"] in (0, 143)


def test_a_broken_repository_is_refused_in_words(engine: Engine, tmp_path: Path) -> None:
    broken = tmp_path / "repository"
    shutil.copytree(REPOSITORY, broken)
    (broken / "pcb_detector" / "configs" / "python.pbtxt").write_text('name: "pcb_detector" {')
    tmp_path.chmod(0o755)
    override = tmp_path / "override.yml"
    override.write_text(f"services: {{{SERVICE}: {{volumes: ['{broken}:/models:ro']}}}}\n")
    service = Service(engine)
    service.compose("build", SERVICE)
    status, said = service.compose("--file", override, "run", "--rm", SERVICE, check=False)
    assert status == 1
    assert "does not parse" in said
    assert "pcb_detector" in said
    assert "Started GRPCInferenceService" not in said
