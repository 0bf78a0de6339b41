"""What holds for every command: help, version and completion."""

from __future__ import annotations

import subprocess

import pytest
import tridet
from fake_triton import run_cli


def test_version():
    assert run_cli("--version") == (0, f"tridet {tridet.__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["detect"], ["status"], ["completion"]])
def test_help_has_examples(command):
    code, out, _ = run_cli(*command, "--help")
    assert code == 0
    assert "Examples:\n" in out


def test_no_command_prints_help():
    code, out, _ = run_cli()
    assert code == 0
    assert "Commands:" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    code, out, _ = run_cli("completion", shell)
    assert code == 0
    assert "_TRIDET_COMPLETE" in out


def test_a_missing_choice_is_one_line():
    code, out, err = run_cli("completion")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: Missing argument")
    assert line.endswith("Choose from: bash, zsh, fish (see tridet completion --help)")


def test_completion_completes(tmp_path):
    (tmp_path / "script").write_text(run_cli("completion", "bash")[1])
    subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
