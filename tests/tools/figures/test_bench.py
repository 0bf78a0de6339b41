"""tools/figures/bench.py: a smoke run; never its timings."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from bench_pipelines.clients import PIPELINES, STEPS
from programs import run_program

BENCH = Path(__file__).resolve().parents[3] / "tools" / "figures" / "bench.py"


def test_options_are_checked_before_anything_starts() -> None:
    import bench
    from click.testing import CliRunner

    for arguments in (["--sizes", "8K"], ["--concurrency", "0"], ["--concurrency", "a"]):
        result = CliRunner().invoke(bench.main, arguments)
        assert result.exit_code == click.UsageError.exit_code
        assert "Error: Invalid value" in result.output
    found = run_program("figures/bench.py", "--only", "real", "--model", "nowhere")
    assert found == (1, "", "bench: error: nowhere: no such manifest\n")


@pytest.mark.server
def test_quick_run(tmp_path: Path) -> None:
    files = [tmp_path / "bench.json", tmp_path / "bench.md"]
    # Away from the checkout: it finds its own parts.
    options = ["--quick", "--only", "stub", "--json", str(files[0]), "--markdown", str(files[1])]
    run = subprocess.run(
        [sys.executable, str(BENCH), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    report = json.loads(files[0].read_text())
    found = {(row["pipeline"], row["size"], row["concurrency"]) for row in report["cases"]}
    assert found == {
        (name, size, number)
        for name in PIPELINES
        for size in ("720p", "1080p")
        for number in (1, 2)
    }
    for row in report["cases"]:
        assert row["frames"] == report["settings"]["frames"] * report["settings"]["rounds"]
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["client_cpu_ms"] > 0
        assert row["server_cpu_ms"] > 0
        assert row["outside_ms"] > 0
        # Agreement of the boxes is checked in the run itself, which fails otherwise.
        assert list(row["steps"]) == list(dict.fromkeys(STEPS[row["pipeline"]][1:]))
    assert len(report["targets"]) == 6
    assert report["machine"]["cores"] > 0
    markdown = files[1].read_text()
    for heading in ("### 720p, concurrency 1", "### Targets", "### Server time per step"):
        assert heading in markdown
    assert "Targets" in run.stdout
