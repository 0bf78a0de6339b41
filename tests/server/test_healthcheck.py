"""deploy/healthcheck.py on the real server: what Triton itself calls ready."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local_triton import LocalServer
from stub_onnx import write_detector
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write

CHECK = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"


def check(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", str(CHECK), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.server
def test_a_dead_step_is_unhealthy_though_triton_says_ready(tmp_path: Path) -> None:
    write_detector(tmp_path / "small", "")
    write(load_manifests([tmp_path / "small"]), tmp_path / "repository")
    arguments = (str(tmp_path / "repository"),)
    with LocalServer(tmp_path / "repository") as server:
        assert check(*arguments, server.http_url) == (0, "")
        for task in Path(f"/proc/{server.pid}/task").glob("*/children"):
            for step in task.read_text().split():
                os.kill(int(step), signal.SIGKILL)
        connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"))
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        connection.close()
        status, said = check(*arguments, server.http_url, "20")
        url = server.http_url
    assert status == 1
    assert said.startswith("unhealthy: small: 500: ")
    assert said.count("\n") == 1
    status, said = check(*arguments, url)
    assert (status, said) == (1, "unhealthy: small: [Errno 111] Connection refused\n")


def test_an_empty_repository_is_unhealthy(tmp_path: Path) -> None:
    assert check(str(tmp_path)) == (
        1,
        f"unhealthy: expected detectors in {tmp_path}, found none\n",
    )
