"""The supervisor as the first process of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

SHM = Path("/dev/shm")
TOOLS = Path(__file__).resolve().parents[3] / "tools"


def test_the_first_process_of_a_container_keeps_its_server_up(tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho started $$ $1\nexec sleep 60\n")
    server.chmod(0o755)
    supervisor = TOOLS / "local_triton" / "supervisor.py"
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
