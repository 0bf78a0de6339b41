"""Ctrl-C while the command begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Stands still while something is imported: what comes after ctrl_c is not looked at.
STANDS_STILL = """
import sys, time

class Finder:
    def find_spec(self, name, *_):
        if name == "{name}":
            print("there", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Finder())
"""
COMMAND = "import sys\nfrom tridet.cli.main import main\nsys.exit(main())\n"


def interrupted(tmp_path: Path, name: str, *command: str) -> tuple[int, str]:
    """Press Ctrl-C while ``name`` is imported; return the exit status and stderr."""
    (tmp_path / "sitecustomize.py").write_text(STANDS_STILL.format(name=name))
    paths = [str(tmp_path), *(path for path in sys.path if path)]
    process = subprocess.Popen(
        [sys.executable, *command, "status", "--url", "127.0.0.1:9"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("name", ["tridet.async_detector", "numpy", "tridet.cli.run"])
def test_the_command_ends_with_130_and_no_word(tmp_path, name):
    script = tmp_path / "tridet"
    script.write_text(COMMAND)
    for command in ([str(script)], ["-m", "tridet"]):
        assert interrupted(tmp_path, name, *command) == (130, "")


@pytest.mark.parametrize("name", ["click", "tridet.async_detector", "tridet_build.cli.plans"])
def test_tridet_build_ends_so_too(tmp_path, name):
    assert interrupted(tmp_path, name, "-m", "tridet_build") == (130, "")


def test_in_the_middle_of_a_command_it_is_130_as_well(tmp_path):
    script = tmp_path / "tridet"
    script.write_text(COMMAND)
    code, err = interrupted(tmp_path, "tridet.cli.status", str(script))
    assert (code, err.strip()) == (130, "")


def test_a_program_that_uses_the_library_is_left_alone():
    code = "import signal, tridet; print(signal.getsignal(2) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
