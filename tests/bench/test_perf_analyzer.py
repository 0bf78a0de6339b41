"""The cross-check with perf_analyzer: its command line and its report, as documented.

It is not here to be run; a script stands in for it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_triton import run_cli
from tridet.exceptions import TridetError
from tridet.server_info import Observation
from tridet_bench.cases import Case, Result, summarized
from tridet_bench.frames import frames_of_files, frames_of_size
from tridet_bench.loops import Closed, Load, Open
from tridet_bench.perf_analyzer import command_of, cross_check, figures_from_csv
from tridet_bench.samples import Recorder
from tridet_bench.worker import Target, Workload
from tridet_bench.workers import Run

TARGET = Target("localhost:8001", "pcb", None, 10.0, {})
RECORDED = (Path(__file__).parent / "data" / "perf_analyzer.csv").read_text()
NOTHING = Observation({}, {})


def result_of(transport: str, load: Load, frames: str = "1280x720") -> Result:
    made = frames_of_files(["a.jpg"]) if frames == "files" else frames_of_size(frames)
    case = Case(Workload(transport, made), load)  # type: ignore[arg-type]
    recorder = Recorder()
    recorder.answered(0, 0, 0.05, 0, 0.05)
    run = Run(recorder.samples(), 1.0, (0.1,))
    return summarized(case, run, 1.0, (), NOTHING, NOTHING, "pcb")


def command(result: Result) -> str:
    found = command_of(Path("perf_analyzer"), TARGET, result, 5.0, Path("report.csv"))
    return " ".join(found or [])


def test_the_command_of_a_closed_loop():
    assert command(result_of("raw", Closed(4))) == (
        "perf_analyzer -m pcb -u localhost:8001 -i grpc -b 1 --shape IMAGE:720,1280,3 "
        "--input-data zero --shared-memory none --concurrency-range 4 "
        "--measurement-interval 5000 --max-trials 10 --percentile 50 -f report.csv"
    )


def test_the_command_of_an_open_loop():
    found = command(result_of("shm", Open(62.5)))
    assert "--shared-memory system --request-rate-range 62.5" in found
    assert "--request-distribution poisson" in found and "--concurrency-range" not in found


def test_what_it_cannot_send_is_left_out():
    assert command(result_of("fit", Closed(1))) == ""
    assert command(result_of("encoded", Closed(1))) == ""
    assert command(result_of("raw", Closed(1), "files")) == ""


def test_its_report_is_read():
    assert figures_from_csv(RECORDED) == pytest.approx(
        {"throughput": 85.2, "p50_ms": 45.127, "p90_ms": 52.31, "p99_ms": 66.023}
    )
    by_rate = RECORDED.replace("Concurrency", "Request Rate")
    assert by_rate != RECORDED
    assert figures_from_csv(by_rate) == figures_from_csv(RECORDED)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", RECORDED.replace("p99", "p98"), RECORDED + RECORDED.splitlines()[1]],
)
def test_another_report_is_an_error(text):
    with pytest.raises(TridetError, match="perf_analyzer: expected a report of one row"):
        figures_from_csv(text)


def stand_in(folder: Path, lines: str) -> Path:
    program = folder / "perf_analyzer"
    script = program.with_suffix(".py")
    script.write_text(f"import sys\n{lines}\n")
    # Not Python in the first line: its path may hold a blank.
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{script}' \"$@\"\n")
    program.chmod(0o755)
    return program


def test_it_is_run_and_compared(tmp_path):
    program = stand_in(
        tmp_path, f"open(sys.argv[sys.argv.index('-f') + 1], 'w').write({RECORDED!r})"
    )
    found = cross_check(program, TARGET, result_of("raw", Closed(4)), 0.1)
    assert (found.case, found.theirs_throughput) == ("raw 1280x720 4 at a time", 85.2)
    assert found.theirs_p50_ms == pytest.approx(45.127)


def test_its_failure_is_one_line(tmp_path):
    program = stand_in(
        tmp_path, "print('Failed to init\\nerror: model pcb', file=sys.stderr)\nsys.exit(99)"
    )
    with pytest.raises(TridetError, match=r"^perf_analyzer failed \(99\): error: model pcb$"):
        cross_check(program, TARGET, result_of("raw", Closed(4)), 0.1)


def test_it_is_asked_for_but_not_there(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, stderr = run_cli("bench", "--perf-analyzer", "--transport", "raw,fit")
    assert code == 1
    assert "expected perf_analyzer on PATH, found none" in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.server
def test_the_report_holds_both(stub_server, tmp_path, monkeypatch):
    stand_in(tmp_path, f"open(sys.argv[sys.argv.index('-f') + 1], 'w').write({RECORDED!r})")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    code, stdout, stderr = run_cli(
        *("bench", "--url", stub_server.grpc_url, "--model", "small", "--transport", "raw,fit"),
        *("--perf-analyzer", "--size", "320x240", "--duration", 0.5, "--warmup", 0),
        *("--out", tmp_path / "out"),
    )
    assert code == 0, stderr
    report = json.loads((tmp_path / "out" / "bench.json").read_text())
    (check,) = report["perf_analyzer"]
    assert check["case"] == "raw 320x240 1 at a time"
    assert np.isclose(check["theirs_p99_ms"], 66.023)
    assert "Cross-check with perf_analyzer" in stdout
