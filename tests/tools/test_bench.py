"""The benchmark's arithmetic, and a smoke run of it; never its timings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from bench_pipelines import scene
from bench_pipelines.clients import PIPELINES, STEPS
from bench_pipelines.cpu_clock import cpu_seconds, process_tree
from bench_pipelines.errors import BenchError
from bench_pipelines.frames import SIZES, frames, read_frames, write_frames
from bench_pipelines.measure import Case, Record, check_agreement, farthest_px
from bench_pipelines.repository import write_repository
from bench_pipelines.summary import (
    CaseSummary,
    RealSummary,
    Target,
    ratio_of_rounds,
    real_target,
    targets,
)
from bench_pipelines.tables import round_trip_tables, step_table, target_table
from bench_pipelines.triton_stats import outside_detector_ms, total
from bench_pipelines.worker import Burst
from programs import run_program
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters
from tridet.server_info import StepTime, difference, observation_from_statistics
from tridet_bench.table import Table
from tritonclient.grpc import service_pb2

BENCH = Path(__file__).resolve().parents[2] / "tools" / "figures" / "bench.py"


def case(pipeline: str, size: str, p50_ms: float, **changes: object) -> CaseSummary:
    return CaseSummary(
        **{
            "pipeline": pipeline,
            "size": size,
            "concurrency": 1,
            "frames": 10,
            "p50_ms": p50_ms,
            "p99_ms": 2 * p50_ms,
            "frames_per_s": 1000 / p50_ms,
            "outside_ms": 3.0,
            "outside_step_ms": 2.0,
            "client_cpu_ms": 1.0,
            "server_cpu_ms": 2.0,
            "round_p50_ms": (p50_ms, p50_ms),
            "steps": {},
            **changes,
        }  # type: ignore[arg-type]
    )


def test_a_slow_round_does_not_change_the_ratio() -> None:
    assert ratio_of_rounds([1.0, 10.0, 1.0], [10.0, 100.0, 10.0]) == pytest.approx(0.1)
    with pytest.raises(ValueError):
        ratio_of_rounds([1.0], [1.0, 2.0])


def test_a_target_says_by_how_much() -> None:
    assert Target("a", 4.5, 3.6).verdict == "met by 20%"
    assert Target("a", 4.5, 9.0).verdict == "missed by 100%"
    assert Target("b", 0.95, 0.76, at_least=True).verdict == "missed by 20%"
    assert Target("b", 0.95, 0.95, at_least=True).met


def test_targets_are_those_whose_cases_were_measured() -> None:
    auto = "tridet auto"
    assert targets([]) == []
    assert targets([case(auto, "1080p", 4.0, concurrency=8)]) == []
    found = targets(
        [
            case("naive", "1080p", 40.0),
            case(auto, "1080p", 4.0),
            case(auto, "720p", 3.0),
            case("tridet raw", "720p", 9.0),
            case(auto, "4K", 6.0),
        ]
    )
    by_name = {target.name: target for target in found}
    assert len(by_name) == len(found) == 7
    assert by_name["auto / naive, 1080p, p50"].measured == pytest.approx(0.1)
    assert by_name["auto, 4K / 720p, p50"].measured == pytest.approx(2.0)
    assert not by_name["auto, 4K / 720p, p50"].met
    assert not by_name["server outside the detector, 720p, raw"].met
    rows = target_table(found).rows
    assert rows[0] == ("auto / naive, 1080p, p50", "≤ 0.12", "0.1", "met by 17%")


def test_the_real_target_is_best_beside_best() -> None:
    rows = [
        RealSummary(1, 15.0, 20.0, 1, 0.75, 1.0, 60.0, 70.0),
        RealSummary(8, 19.2, 18.0, 8, 1.06, 7.5, 400.0, 500.0),
    ]
    target = real_target(rows)
    assert target.measured == pytest.approx(0.96)
    assert target.met


def statistics(name: str, requests: int) -> service_pb2.ModelStatistics:
    stats = service_pb2.ModelStatistics(
        name=name, inference_count=2 * requests, execution_count=requests
    )
    parts = {"success": 10, "queue": 1, "compute_input": 2, "compute_infer": 4, "compute_output": 3}
    for part, ms in parts.items():
        duration = getattr(stats.inference_stats, part)
        duration.count, duration.ns = requests, ms * requests * 1_000_000
    return stats


def test_statistics_are_differences_per_request() -> None:
    before, after = (
        observation_from_statistics([statistics("nms", count)]).steps for count in (3, 8)
    )
    steps = difference(before, after)
    assert steps["nms"].requests == 5
    assert steps["nms"].ms("success") == 10
    assert steps["nms"].ms("compute_infer") == 4
    assert steps["nms"].mean_batch == 2
    assert difference({}, after) == after
    assert total([steps, steps])["nms"].requests == 10
    assert StepTime().ms("queue") == 0
    assert StepTime().mean_batch == 0


def test_outside_the_detector() -> None:
    both = [statistics("ensemble", 2), statistics("detector", 2)]
    steps = observation_from_statistics(both).steps
    assert outside_detector_ms(steps, "ensemble", "detector") == (6, 0)


def test_tables_name_the_reference() -> None:
    (table,) = round_trip_tables([case("naive", "4K", 100.0), case("tridet auto", "4K", 5.0)])
    assert table.title == "4K, concurrency 1"
    assert table.rows[1][:4] == ("tridet auto", "5.0", "10.0", "0.05")
    text = Table("T", ("a", "b"), [("x", "1")]).markdown()
    assert text.splitlines() == ["### T", "", "| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_two_text_columns_align_left_on_paper_and_in_a_terminal() -> None:
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    table = step_table([case("naive", "4K", 100.0, steps={"nms": dict.fromkeys(parts, 0.0)})])
    assert table.markdown().splitlines()[3:] == [
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| naive | nms | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 |",
    ]
    assert [column.justify for column in table.rich().columns] == ["left"] * 2 + ["right"] * 5


def test_cpu_time_of_a_process_tree() -> None:
    code = "import time; print(flush=True); [None for _ in iter(time.process_time, 9)]"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        pids = process_tree(os.getpid())
        assert child.pid in pids
        before = cpu_seconds([child.pid])
        while cpu_seconds([child.pid]) <= before:
            pass
        child.kill()


def test_the_stub_finds_every_object_once() -> None:
    boxes, scores, class_ids = scene.candidates()
    assert boxes.shape == (scene.CANDIDATES, 4)
    assert (np.diff(scores) <= 0).all()
    for iou, agnostic in ((0.45, True), (scene.IOU, False)):
        thresholds = NmsParameters(conf=scene.CONF, iou=iou, max_det=300, agnostic=agnostic)
        assert len(nms(boxes, scores, class_ids, thresholds)) == scene.OBJECTS


def test_frames_are_written_and_mapped(tmp_path: Path) -> None:
    write_frames(tmp_path)
    for size, (width, height) in SIZES.items():
        pictures = read_frames(tmp_path, size)
        assert {picture.shape for picture in pictures} == {(height, width, 3)}
        assert (pictures[0] != pictures[1]).any()
        np.testing.assert_array_equal(pictures, frames(size))


def test_the_naive_ensemble_has_tridets_instances_and_batching(tmp_path: Path) -> None:
    write_repository(tmp_path)
    for naive, ours in (
        ("naive_preprocess/config.pbtxt", "preprocess_640/config.pbtxt"),
        ("naive_nms/config.pbtxt", "nms/config.pbtxt"),
        ("stub_raw/config.pbtxt", "bench_detector/configs/python.pbtxt"),
    ):
        blocks = [
            [part for part in _blocks(tmp_path / name) if part.startswith(("instance", "dynamic"))]
            for name in (naive, ours)
        ]
        assert blocks[0] == blocks[1]
        assert blocks[0]


def _blocks(path: Path) -> list[str]:
    """Top-level blocks of a text protobuf."""
    return path.read_text().replace("\n}\n", "\n}\n\0").split("\0")


def test_pipelines_that_disagree_are_an_error() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 40, 50]], np.float32)
    assert farthest_px(boxes[::-1], boxes) == 0
    assert farthest_px(boxes[:1], boxes) == 40
    record = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes)])
    shifted = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes + np.float32(0.6))])
    fewer = Record(bursts=[Burst([0.1], 0.1, 0.1, boxes[:1])])
    here, there = Case("naive", "720p", 1), Case("tridet raw", "720p", 1)
    check_agreement({here: record, there: record})
    with pytest.raises(BenchError, match=r"tridet raw, 720p: expected boxes within 0.5 px"):
        check_agreement({here: record, there: shifted})
    with pytest.raises(BenchError, match="expected 2 boxes as the other pipelines found, got 1"):
        check_agreement({here: record, there: fewer})


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


@pytest.mark.server
def test_the_allocators_thresholds_are_compared() -> None:
    script = BENCH.with_name("allocator_bench.py")
    options = ["--rounds", "1", "--calls", "8", "--in-flight", "2"]
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["glibc's defaults", "with the thresholds"]
    assert all(float(figure) > 0 for row in rows for figure in row[1:])
