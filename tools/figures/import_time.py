"""What ``import tridet`` costs beside what it stands on: grpc, cv2 and numpy. Prints a table.

    python tools/figures/import_time.py --runs 31

Each run is a fresh interpreter; the two take turns, so that a busy machine slows both. The time is
that of the imports alone, without the interpreter's own start.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click

CASES = ("import grpc, cv2, numpy", "import tridet")
_TIMED = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--python", default=sys.executable, help="The interpreter; by default this one.")
@click.option("--runs", type=click.IntRange(min=1), default=21, show_default=True)
def main(python: str, runs: int) -> None:
    """Measure, and print medians, extremes and the ratio."""
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for run in range(runs + 1):
        for case in CASES:
            # -I: what is installed, not what lies in the current folder.
            command = [python, "-I", "-c", _TIMED.format(case)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            if run:  # the first reads the files from the disk
                seconds[case].append(float(done.stdout))
    base = statistics.median(seconds[CASES[0]])
    click.echo("| imports | median ms | fastest | slowest | ratio |")
    click.echo("| --- | ---: | ---: | ---: | ---: |")
    for case, all_s in seconds.items():
        median = statistics.median(all_s)
        click.echo(
            f"| `{case}` | {median * 1e3:.0f} | {min(all_s) * 1e3:.0f} | {max(all_s) * 1e3:.0f} "
            f"| {median / base:.2f} |"
        )


if __name__ == "__main__":
    program.run(main, "import_time")
