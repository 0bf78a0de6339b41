"""tools/make_environment.sh: which Python a fresh machine's environment is made with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "make_environment.sh"
OLD = "#!/bin/sh\nexit 1\n"  # says of itself that it is not supported, and cannot make one either
UV = '#!/bin/sh\necho "$@" > "$0.arguments"\nfor last; do :; done\nmkdir "$last"\n'
OFFLINE = '#!/bin/sh\nprintf "error: no download\\n  cause: no\\n  network\\n" >&2\nexit 2\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with what the script itself runs, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("mkdir", "mktemp", "rm", "tr"):
        (folder / program).symlink_to(str(shutil.which(program)))
    return folder


def program(path: Path, name: str, text: str) -> None:
    (path / name).write_text(text)
    (path / name).chmod(0o755)


def make(path: Path, *python: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(SCRIPT), "made", *python]
    environment = {"PATH": str(path)}
    return subprocess.run(
        command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False
    )


def refused(path: Path, message: str, *python: str) -> None:
    done = make(path, *python)
    assert done.returncode == 1
    assert done.stderr == f"make: error: {message}\n"
    assert not (path.parent / "made").exists()


def test_the_first_python_on_path_that_is_supported_is_taken(path: Path) -> None:
    program(path, "python3", OLD)
    (path / "python3.12").symlink_to(sys.executable)
    assert make(path).returncode == 0
    assert (path.parent / "made/bin/python").exists()


def test_a_python_that_is_named_is_taken_or_refused(path: Path) -> None:
    assert make(path, sys.executable).returncode == 0
    shutil.rmtree(path.parent / "made")
    program(path, "python9", OLD)
    refused(path, "expected Python 3.10 to 3.13, found PYTHON=python9", "python9")


def test_without_one_uv_brings_it(path: Path) -> None:
    program(path, "python3", OLD)
    program(path, "uv", UV)
    assert make(path).returncode == 0
    assert (path.parent / "made").is_dir()
    arguments = (path / "uv.arguments").read_text()
    assert "--seed" in arguments and "only-managed" in arguments and ">=3.10,<3.14" in arguments


def test_what_uv_cannot_do_is_one_line(path: Path) -> None:
    program(path, "uv", OFFLINE)
    refused(
        path,
        "expected Python 3.10 to 3.13 on PATH, found none, and uv cannot bring one: "
        "error: no download cause: no network",
    )


@pytest.mark.parametrize("python3", [None, OLD])
def test_without_any_python_and_uv_it_gives_up_in_one_line(path: Path, python3: str | None) -> None:
    if python3:
        program(path, "python3", python3)
    refused(path, "expected Python 3.10 to 3.13 or uv on PATH, found neither")
