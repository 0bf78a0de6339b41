"""docker-compose.yml and what it runs, as far as that goes without Docker."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_triton import ALLOCATOR
from tridet.access import HTTP_HEADER, RESTRICTED

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
TAG = "${TRITON_TAG:-26.11}"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return loaded


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Validate against the Compose specification's JSON schema, which check-jsonschema carries."""
    arguments = ["--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_obeys_the_compose_specification(tmp_path: Path) -> None:
    done = validate(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("shm_size:", "shared_memory:"))
    assert "'shared_memory' was unexpected" in validate(wrong).stdout


def test_one_variable_sets_the_release_of_both(services: dict[str, Any]) -> None:
    for name, dockerfile in (
        ("triton", "triton.Dockerfile"),
        ("triton-cpu", "triton.Dockerfile"),
        ("builder", "builder.Dockerfile"),
    ):
        assert services[name]["build"]["args"] == {"TRITON_TAG": TAG}
        assert "image" not in services[name]
        text = (ROOT / "deploy" / dockerfile).read_text()
        assert "ARG TRITON_TAG=26.11\nFROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3\n" in text
        assert text.count("FROM ") == 1
    assert COMPOSE.read_text().count("TRITON_TAG:-") == 1


def test_who_has_the_gpu(services: dict[str, Any]) -> None:
    for name in ("triton", "builder"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert "deploy" not in services["triton-cpu"]


def test_without_a_gpu_it_is_the_same_service(services: dict[str, Any]) -> None:
    with_gpu, without = dict(services["triton"]), dict(services["triton-cpu"])
    assert (with_gpu.pop("profiles"), without.pop("profiles")) == (["gpu"], ["cpu"])
    assert with_gpu.pop("deploy")
    cpu = without.pop("environment")
    assert cpu["TRIDET_RUNTIME"] == "${TRIDET_RUNTIME:-python}"
    assert with_gpu.pop("environment") == cpu | {"TRIDET_RUNTIME": "${TRIDET_RUNTIME:-onnxruntime}"}
    assert with_gpu == without


def test_what_the_image_installs_is_what_is_tested() -> None:
    """Each pin is one of constraints.txt, so that both move together."""
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    for line in (ROOT / "deploy" / "requirements.txt").read_text().splitlines():
        assert line.replace("[grpc]", "") in constraints


def test_the_container_allocates_as_the_local_server_does(services: dict[str, Any]) -> None:
    environment = services["triton"]["environment"]
    found = {name: environment[name] for name in environment if name.startswith("MALLOC_")}
    assert found == {name: f"${{{name}:-{value}}}" for name, value in ALLOCATOR.items()}


def test_what_is_mounted_and_copied_exists(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service["volumes"]:
            assert (ROOT / volume.split(":")[0]).exists()
        folder = ROOT / service["build"]["context"]
        assert (folder / service["build"]["dockerfile"]).is_file()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy/builder.Dockerfile").read_text(), re.M)
    ignored = (ROOT / "deploy/builder.Dockerfile.dockerignore").read_text().splitlines()
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_ports_are_local(services: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in services["triton"]["ports"])


def test_the_builder_starts_only_when_called(services: dict[str, Any]) -> None:
    assert services["builder"]["profiles"] == ["build"]
    assert services["builder"]["volumes"] == [".:/checkout"]
    assert services["builder"]["working_dir"] == "/checkout"


def test_the_builder_installs_nothing_when_it_runs(services: dict[str, Any]) -> None:
    command = services["builder"]["command"]
    assert command[:2] == ["make", "plans"]
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *command[1:]],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},  # not that of a make that runs this test
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.rstrip() == '/opt/tridet/bin/python -m tridet_build plans --models "models"'


# deploy/serve.sh ----------------------------------------------------------------------------------


def serve(tmp_path: Path, check_exit: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it with stand-ins for the two programs that it calls."""
    for name, body in {
        "python3": f'echo "$PYTHONPATH: $0 $*"; exit {check_exit}',
        "tritonserver": 'echo "$HELP"',
    }.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    return subprocess.run(
        [ROOT / "deploy" / "serve.sh", "--log-verbose=1"],
        env={"PATH": f"{tmp_path}:{os.defpath}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_check_runs_before_the_server(tmp_path: Path, services: dict[str, Any]) -> None:
    done = serve(tmp_path, 0, TRIDET_RUNTIME="tensorrt", TRIDET_KEY="k3y")
    check, server = done.stdout.splitlines()
    assert check == (
        f"/tridet/build:/tridet/client: {tmp_path}/python3 -m tridet_build check /models "
        "--runtime tensorrt"
    )
    # The steps' Python must not see the build tools.
    assert server == (
        f": {tmp_path}/python3 /tridet/supervisor.py --container 30 tridet_steps_ "
        f"{tmp_path}/tritonserver --model-repository=/models --model-config-name=tensorrt "
        "--disable-auto-complete-config --exit-timeout-secs=20 "
        f"--grpc-restricted-protocol={RESTRICTED}:{HTTP_HEADER}=k3y "
        f"--http-restricted-api={RESTRICTED}:{HTTP_HEADER}=k3y "
        "--backend-config=python,shm-region-prefix-name=tridet_steps_ --log-verbose=1"
    )
    mounted = {volume.split(":")[1] for volume in services["triton"]["volumes"]}
    assert mounted == {
        *("/models", "/tridet/build", "/tridet/client", "/tridet/serve.sh"),
        *("/tridet/supervisor.py", "/tridet/healthcheck.py"),
    }
    health = services["triton"]["healthcheck"]["test"]
    assert health == ["CMD", "python3", "/tridet/healthcheck.py", "/models"]
    assert services["triton"]["command"] == ["/tridet/serve.sh"]


def test_clients_shared_memory_is_allowed_where_the_server_asks_for_that(tmp_path: Path) -> None:
    """From Triton 26.05 on; an older server refuses to start with an option it does not know."""
    before = serve(tmp_path, 0, TRIDET_KEY="k3y").stdout
    assert "--allow-client-shm" not in before
    after = serve(tmp_path, 0, TRIDET_KEY="k3y", HELP="  --allow-client-shm <boolean>").stdout
    assert after == before.replace(" --log-verbose", " --allow-client-shm=true --log-verbose")


def test_each_start_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = re.findall(
        rf"{RESTRICTED}:{HTTP_HEADER}=(\S+)", serve(tmp_path, 0).stdout + serve(tmp_path, 0).stdout
    )
    assert all(re.fullmatch(r"[0-9a-f]{32}", key) for key in keys)
    assert [keys.count(key) for key in keys] == [2, 2, 2, 2]


def test_a_failed_check_starts_no_server(tmp_path: Path) -> None:
    done = serve(tmp_path, 1)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"/tridet/build:/tridet/client: {tmp_path}/python3 -m tridet_build check /models "
        "--runtime onnxruntime"
    ]


def test_the_script_can_be_executed() -> None:
    assert os.access(ROOT / "deploy" / "serve.sh", os.X_OK)
