"""Run a program of tools/ in this process, as its file says."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

TOOLS = Path(__file__).resolve().parents[2] / "tools"


class Ended(NamedTuple):
    """How a program ended and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that it said."""
        return self.stdout + self.stderr


def run_program(name: str, *arguments: object) -> Ended:
    """Run ``tools/<name>`` to its end."""
    path = str(TOOLS / name)
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [path, *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            return Ended(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError(f"{name} returned instead of exiting")
