"""Both distributions, built, and environments that hold nothing but their wheels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a developer has set must not reach into a clean environment.
_VARIABLES = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def build_distributions(folder: Path) -> None:
    """Write the sdist of each, and the wheel that is built from that sdist."""
    for source in ("client", "build"):
        options = ["--installer", "uv", "--outdir", folder, ROOT / source]
        run(sys.executable, "-m", "build", *options)


def wheel_of(dist: Path, name: str) -> Path:
    """Return the wheel of a distribution, such as ``tridet_build``."""
    (wheel,) = dist.glob(f"{name}-*.whl")
    return wheel


def install(place: Path, *what: str) -> Path:
    """Make an environment that holds ``what``, as pip takes it, and return its programs' folder."""
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, place)
    options = ["--python", place / "bin/python", "-c", ROOT / "constraints.txt"]
    run(uv, "pip", "install", "--quiet", *options, *what)
    return place / "bin"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run to the end and return what was written to stdout; all of it is shown if it fails."""
    done = attempt(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attempt(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run to the end, well or not."""
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=_VARIABLES,
        capture_output=True,
        text=True,
        check=False,
    )
