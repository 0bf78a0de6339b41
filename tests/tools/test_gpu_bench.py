"""The GPU benchmark's order, repository, tables and verdict; its figures need the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from gpu_bench import plan as gpu_plan
from gpu_bench.budget import bars_of
from gpu_bench.plan import Plan, Report
from gpu_bench.repository import Setup, detector_folder, write_repository
from gpu_bench.tables import cases_table, limits_table
from gpu_bench.verdict import verdict
from tridet_bench.budget import SEGMENTS
from tridet_bench.frames import Frames
from tridet_bench.loops import Closed, Load, Open
from tridet_bench.picture import draw_bars
from tridet_bench.worker import Workload
from tridet_build.manifest.manifest import load_manifest
from tritonclient.grpc import model_config_pb2 as pb

PCB = Path(__file__).resolve().parents[2] / "models" / "pcb"
SLOW, FAST, BROKEN = (Setup(count, 1, 1, "cpu") for count in (1, 2, 3))
CEILING = {
    "gb_per_s": {"memcpy": 10.0, "upload": 50.0},
    "rows": [{"batch": 1, "compute": 900.0, "upload": 850.0}],
}


class FakeRunning:
    """Answers as a server of that setup would, and notes what it was asked."""

    def __init__(self, setup: Setup, asked: list[tuple[str, str, str]]) -> None:
        self.setup = setup
        self.asked = asked

    def measure(self, workload: Workload, load: Load) -> dict[str, Any]:
        self.asked.append((self.setup.label, workload.transport, load.label))
        clients = load.concurrency if isinstance(load, Closed) else 1
        return row(
            self.setup.label, workload.transport, load, 100.0 * self.setup.preprocess * clients
        )


def row(setup: str, transport: str, load: Load, throughput: float) -> dict[str, Any]:
    step = {
        "batch": 4.0,
        "busy_us": 500.0,
        "queue_us": 100.0,
        "compute_input_us": 800.0,
        "compute_infer_us": 1200.0,
        "compute_output_us": 40.0,
    }
    return {
        "setup": setup,
        "transport": transport,
        "load": load.label,
        "rate": load.rate if isinstance(load, Open) else None,
        "throughput": throughput,
        "latency": {"p50_ms": 5.0, "p99_ms": 20.0},
        "errors": {},
        "generator_limited": False,
        "busiest_client": 0.5,
        "client_cpu_us": 300.0,
        "steps": {"preprocess_640": step, "pcb_detector": step, "nms": step},
        "cores": {"tritonserver": 1.0, "preprocess_640": 2.0, "pcb_detector": 1.0, "nms": 0.5},
        "standin_us": {"upload": 30.0, "compute": 180.0, "answer": 20.0},
    }


def plan_of(asked: list[tuple[str, str, str]], left_s: float, *setups: Setup) -> Plan:
    @contextmanager
    def serve(setup: Setup) -> Iterator[Any]:
        if setup is BROKEN:
            raise RuntimeError("does not start")
        yield FakeRunning(setup, asked)

    return Plan(
        device="cpu",
        trunk=Path("no-such-trunk.pt"),
        frames=Frames("boards", None),
        setups=setups,
        clients=(1, 4),
        transports=gpu_plan.TRANSPORTS,
        case_s=1.0,
        deadline_s=time.monotonic() + left_s,
        serve=serve,
    )


def test_the_best_setup_is_measured_further_and_what_fails_is_said() -> None:
    asked: list[tuple[str, str, str]] = []
    report, parts = Report(), []
    gpu_plan.run(plan_of(asked, 1000, FAST, BROKEN, SLOW), report, parts.append)
    assert parts == ["ceiling", "setups", "transports"]
    assert report.best_setup == FAST
    assert asked[:2] == [("2/1/1", "auto", "4 at a time"), ("1/1/1", "auto", "4 at a time")]
    assert asked[2:5] == [
        ("2/1/1", "auto", "4 at a time"),
        ("2/1/1", "auto", "1 at a time"),
        ("2/1/1", "auto", "400/s"),
    ]
    assert {transport for _, transport, _ in asked[2:]} == set(gpu_plan.TRANSPORTS)
    ceiling, broken = report.problems
    assert ceiling.startswith("ceiling: RuntimeError")
    assert "setup 3/1/1: RuntimeError: does not start" in broken


def test_what_there_is_no_time_for_is_left_out_and_said() -> None:
    asked: list[tuple[str, str, str]] = []
    report = Report()
    gpu_plan.run(plan_of(asked, 0, SLOW, FAST), report, lambda _part: None)
    assert asked == [("1/1/1", "auto", "4 at a time")]
    assert any(text.startswith("setup 2/1/1: left out") for text in report.problems)
    assert any(text.startswith("encoded, 4 clients: left out") for text in report.problems)


def test_only_the_detector_step_is_replaced(tmp_path: Path) -> None:
    trunk = tmp_path / "trunk"
    trunk.write_bytes(b"network")
    root = tmp_path / "repository"
    write_repository(load_manifest(PCB), Setup(3, 2, 4, "cuda", max_batch=8, gpus=2), trunk, root)
    assert (detector_folder(root, "pcb") / "trunk.pt").read_bytes() == b"network"
    config = text_format.Parse(
        (root / "pcb_detector/configs/python.pbtxt").read_text(), pb.ModelConfig()
    )
    assert config.max_batch_size == 8
    assert config.instance_group[0].count == 2
    assert config.parameters["device"].string_value == "cuda"
    assert config.parameters["gpus"].string_value == "2"
    assert config.parameters["batches"].string_value == "[1, 2, 4, 8]"
    product = PCB.parents[1] / "model_repository/preprocess_640/1/model.py"
    assert (root / "preprocess_640/1/model.py").read_bytes() == product.read_bytes()


@pytest.mark.parametrize(
    ("throughput", "met"), [(810.0, "met"), (809.0, "MISSED")], ids=["enough", "too few"]
)
def test_verdict_asks_for_nine_tenths_of_the_detector(throughput: float, met: str) -> None:
    report = Report(ceiling=CEILING, transports=[row("1/1/1", "auto", Closed(4), throughput)])
    assert verdict(report)[0].startswith(f"{met}: ")
    report.gpus = 2
    assert verdict(report)[0].startswith("MISSED: ")


def test_verdict_on_the_tail_counts_refusals_and_missing_percentiles() -> None:
    rows = [row("1/1/1", "fit", Open(400.0), 400.0) for _ in range(4)]
    rows[1]["errors"] = {"Overloaded": 1}
    rows[2]["latency"] = {"p50_ms": 5.0, "p99_ms": None}
    rows[3]["latency"] = {"p50_ms": 5.0, "p99_ms": 25.0}
    report = Report(
        ceiling=CEILING, transports=[row("1/1/1", "auto", Closed(4), 900.0)], half_load=rows
    )
    found = [line.split(":")[0] for line in verdict(report)[1:]]
    assert found == ["met", "MISSED", "MISSED", "MISSED"]


def test_the_picture_has_a_bar_for_each_case_that_has_a_budget() -> None:
    budget = dict.fromkeys(SEGMENTS, 1.0)
    cases = [row("1/1/1", "fit", Closed(4), 400.0), row("1/1/1", "shm", Closed(4), 0.0)]
    report = {
        "transports": [{**cases[0], "budget_ms": budget}, {**cases[1], "budget_ms": {}}],
        "half_load": [{**row("1/1/1", "fit", Open(200.0), 200.0), "budget_ms": budget}],
    }
    bars = bars_of(report)
    assert bars == [("fit, 4 at a time", budget), ("fit, 200/s", budget)]
    svg, png = draw_bars(bars, "pcb")
    assert b"fit, 4 at a time" in svg
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) is not None


def test_verdict_says_what_it_lacks() -> None:
    assert verdict(Report())[0].startswith("no verdict")


def test_tables_hold_a_share_a_bound_and_what_the_instances_could_do() -> None:
    best = row("2/1/1", "auto", Closed(4), 450.0)
    report = Report(ceiling=CEILING, transports=[best])
    assert "| auto, 4 at a time | 2/1/1 | 450 | 50 |" in cases_table("Cases", [best], report)
    limits = limits_table(report)
    assert limits is not None
    # 800 of 2,040 parts of 500 µs; 1.2288 MB at 10 GB/s; two instances of 500 µs an image.
    assert "| detector: copy in | 196 | 1229 | 123 |  |" in limits
    assert "| preprocess: all | 500 |  |  | 4000 |" in limits
    # What enters the server is the fitted frame, or the whole one.
    assert "| preprocess: copy in | 196 | 691 | 69 |  |" in limits
    report.transports[0]["transport"] = "shm"
    assert "| preprocess: copy in | 196 | 2765 | 276 |  |" in str(limits_table(report))
    assert limits_table(Report()) is None
