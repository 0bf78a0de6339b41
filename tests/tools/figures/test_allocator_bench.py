"""tools/figures/allocator_bench.py: a smoke run; never its timings."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "figures" / "allocator_bench.py"


@pytest.mark.server
def test_the_allocators_thresholds_are_compared() -> None:
    options = ["--rounds", "1", "--calls", "8", "--in-flight", "2"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["glibc's defaults", "with the thresholds"]
    assert all(float(figure) > 0 for row in rows for figure in row[1:])
