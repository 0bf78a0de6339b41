"""A Docker engine of the tests' own: nothing of it is seen by, or left on, another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType


class EngineError(Exception):
    """dockerd does not start on this machine."""


class Engine:
    """A dockerd with its images, containers and socket in a folder that goes when it stops."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tridet-docker-"))
        self.environment = os.environ | {
            "DOCKER_HOST": f"unix://{self._folder}/socket",
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }

    def __enter__(self) -> Engine:
        """Raises EngineError."""
        log = (self._folder / "log").open("w")
        folders = [f"--{name}-root={self._folder / name}" for name in ("data", "exec")]
        arguments = [f"--host={self.environment['DOCKER_HOST']}", f"--pidfile={self._folder}/pid"]
        self._daemon = subprocess.Popen(
            ["dockerd", *folders, *arguments], env=self.environment, stdout=log, stderr=log
        )
        log.close()
        deadline = time.monotonic() + 60
        while self.run("docker", "info", check=False).returncode:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "log").read_text().splitlines()
                self.__exit__(None, None, None)
                raise EngineError(said[-1] if said else "it says nothing")
            time.sleep(0.2)
        return self

    def run(
        self, *command: str | Path, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to the engine; stdout and stderr come together, in order."""
        done = subprocess.run(
            [str(part) for part in command],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._daemon.poll() is None:
            left = self.run("docker", "ps", "--all", "--quiet", check=False).stdout.split()
            if left:
                self.run("docker", "rm", "--force", *left, check=False)
        self._daemon.terminate()
        self._daemon.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)
