"""tools/program.py: `--help` of every program does nothing else, and Ctrl-C leaves no traceback."""

from __future__ import annotations

import program

import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PROGRAMS = sorted(
    path
    for path in [*TOOLS.glob("*.py"), *(TOOLS / "figures").glob("*.py")]
    if '__name__ == "__main__"' in path.read_text()
)

PROGRAM = """
import program
import os, signal
import click
{before}

@click.command()
@click.option("--what")
def main(what):
    if what == "error":
        raise ValueError("it is broken")
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    program.run(main, "some", KeyError, ValueError)
"""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_help_of_every_program(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lower().startswith("usage: ")
    assert list(tmp_path.iterdir()) == []


def ended(folder: Path, *arguments: str, before: str = "") -> tuple[int, str]:
    # Beside a copy, because it acts only in programs of its own folder.
    (folder / "program.py").write_text((TOOLS / "program.py").read_text())
    (folder / "some.py").write_text(PROGRAM.format(before=before))
    done = subprocess.run(
        [sys.executable, str(folder / "some.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_every_end(tmp_path: Path) -> None:
    assert ended(tmp_path, "--what", "error") == (1, "some: error: it is broken\n")
    code, stderr = ended(tmp_path, "--nonsense")
    assert code == 2
    assert stderr.startswith("some: error: ") and len(stderr.splitlines()) == 1
    code, stderr = ended(tmp_path)
    assert (code, stderr.strip()) == (130, "")


def test_ctrl_c_during_the_imports(tmp_path: Path) -> None:
    assert ended(tmp_path, before="os.kill(os.getpid(), signal.SIGINT)") == (130, "")


def test_importing_it_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    importlib.reload(program)
    assert signal.getsignal(signal.SIGINT) is before
