"""``tridet bench``: on the real tritonserver, and against servers that misbehave."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import grpc
import numpy as np
import pytest
from fake_triton import FakeTriton, picture, reject, run_cli
from local_triton import LocalServer
from PIL import Image
from tridet_bench.budget import SEGMENTS

MAIN = [sys.executable, "-c", "from tridet.cli.main import main; main()"]
QUICK = ("--duration", 1, "--warmup", 0, "--size", "320x240")
FILES = ["bench.html", "bench.json", "bench.png", "bench.svg"]


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with FakeTriton() as server:
        for name in ("pcb", "pcb_encoded"):
            for step in ("preprocess_64", "pcb_detector", "nms"):
                server.models[name].ensemble_scheduling.step.add(model_name=step)
        yield server


def report_in(folder: Path) -> dict:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    return json.loads((folder / "bench.json").read_text())


def keys_of(value: object) -> object:
    """Return the names in a report without its figures."""
    if isinstance(value, dict):
        return {name: keys_of(item) for name, item in value.items()}
    if isinstance(value, list):
        return [keys_of(item) for item in value[:1]]
    return None


def alive_in_group(group: int) -> list[str]:
    """Return the names of the processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(") ")
            state, _, process_group = rest.split()[:3]
            if int(process_group) == group and state != "Z":
                found.append(name)
    return found


# On the real server ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def measured(stub_server: LocalServer, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("bench") / "new" / "folder"
    code, stdout, stderr = run_cli(
        *("bench", "--url", stub_server.grpc_url, "--model", "small", "--out", out),
        *("--concurrency", "1,3", "--rate", 40, "--transport", "fit,shm,encoded"),
        *("--duration", 2, "--warmup", 0.2, "--size", "320x240"),
    )
    assert code == 0, stderr
    return out, stdout, stderr


@pytest.mark.server
def test_every_case_is_measured_and_its_budget_adds_up(measured):
    out, stdout, stderr = measured
    report = report_in(out)
    cases = [(r["transport"], r["frames"], *r["load"].values()) for r in report["results"]]
    loads = [("closed", 1), ("closed", 3), ("open", 40.0)]
    assert cases == [(t, "320x240", *load) for t in ("fit", "shm", "encoded") for load in loads]
    for result in report["results"]:
        assert result["errors"] == {} and result["fatal"] is None
        assert sum(result["histogram"]["counts"]) == result["answered"] > 10
        assert result["throughput"] == pytest.approx(result["answered"] / result["wall_s"])
        assert tuple(result["budget_ms"]) == SEGMENTS
        total = sum(result["budget_ms"].values())
        assert total == pytest.approx(result["latency"]["mean_ms"])
        for part in ("preprocess", "detector", "nms", "wire"):
            assert result["budget_ms"][part] > 0
        latency = result["latency"]
        assert latency["min_ms"] <= latency["p50_ms"] <= latency["p90_ms"] <= latency["max_ms"]
        assert set(result["steps"]) == {"preprocess_64", "small_detector", "nms"}
        # The server counts what we count.
        assert abs(result["server_frames"] - result["answered"]) <= 2
        is_open = result["load"]["kind"] == "open"
        assert (result["generator"]["late_p99_ms"] is not None) == is_open
    assert "fit 320x240 3 at a time" in stdout and "Budget of a frame" in stdout
    assert len(stderr.splitlines()) == 9


@pytest.mark.server
def test_the_picture_shows_every_segment_and_case(measured):
    out, _, _ = measured
    with Image.open(out / "bench.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[0] > 300 and pixels.shape[1] > 1000
    # The detector's colour, as wide as its bars are.
    assert (pixels == (0xD5, 0x5E, 0x00)).all(axis=2).sum() > 500
    tree = ElementTree.parse(out / "bench.svg")
    texts = {"".join(node.itertext()) for node in tree.iter() if node.tag.endswith("}text")}
    assert set(SEGMENTS) <= texts
    assert "encoded 320x240 40/s" in texts


@pytest.mark.server
def test_the_page_needs_nothing_else(measured):
    page = (measured[0] / "bench.html").read_text()
    assert "<svg" in page and "<?xml" not in page
    # Links of the SVG's own namespaces and metadata only: nothing is loaded.
    for attribute in ('src="', 'href="http', "@import", "url(http"):
        assert attribute not in page.replace('xlink:href="http', "")
    assert page.count("<tr>") > 9 * 3


@pytest.mark.server
def test_the_keys_of_the_report_are_stable(measured):
    latency = dict.fromkeys(
        ["min_ms", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"]
    )
    step = dict.fromkeys(
        [
            *("requests", "executions", "mean_batch", "busy_s"),
            *("queue_ms", "input_ms", "infer_ms", "output_ms"),
        ]
    )
    generator = ["late_p99_ms", "late_max_ms", "cpu_ms", "busiest_cores", "limited"]
    report = report_in(measured[0])
    assert report["schema"] == 1
    assert report["model"] == "small" and report["machine"]["versions"]["tritonserver"] == "2.51.0"
    for key in ("machine", "warnings"):
        report[key] = None
    assert keys_of(report) == {
        "schema": None,
        "url": None,
        "model": None,
        "thresholds": {},
        "duration_s": None,
        "warmup_s": None,
        "processes": None,
        "machine": None,
        "busy_cores_before": None,
        "results": [
            {
                "transport": None,
                "frames": None,
                "load": {"kind": None, "concurrency": None},
                "wall_s": None,
                "answered": None,
                "throughput": None,
                "errors": {},
                "messages": {},
                "latency": latency,
                "service": latency,
                "histogram": {"edges_ms": [None], "counts": [None]},
                "generator": dict.fromkeys(generator),
                "budget_ms": dict.fromkeys(SEGMENTS),
                "server_frames": None,
                "steps": dict.fromkeys(["preprocess_64", "small_detector", "nms"], step),
                "fatal": None,
            }
        ],
        "saturation": [],
        "perf_analyzer": [],
        "warnings": None,
        "ended_early": None,
    }


@pytest.mark.server
def test_until_saturation_ends_with_advice(stub_server, tmp_path):
    code, stdout, stderr = run_cli(
        *("bench", "--url", stub_server.grpc_url, "--model", "small", "--out", tmp_path),
        # Every rate that the machine manages at all is good: the search has to end all the same.
        *("--until-saturation", "--p99-limit-ms", 400, "--processes", 2, *QUICK),
    )
    assert code == 0, stderr
    (found,) = report_in(tmp_path)["saturation"]
    assert found["limit_ms"] == 400
    assert found["sustained"]["p99_ms"] <= 400
    assert found["failed"]["offered"] > found["sustained"]["offered"]
    assert set(found["advice"]["instances"]) == {"preprocess", "detector", "nms"}
    assert "[instances] preprocess = " in stdout and "[batch] delay_us = " in stdout
    assert "sustains" in (tmp_path / "bench.html").read_text()


@pytest.mark.server
def test_images_of_the_user(stub_server, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"b{number}.png"), picture(300 + number, 200))
    out = tmp_path / "out"
    code, _, stderr = run_cli(
        *("bench", tmp_path, "--url", stub_server.grpc_url, "--model", "small", "--out", out),
        *("--transport", "encoded,raw", "--duration", 0.5, "--warmup", 0, "--quiet"),
    )
    assert (code, stderr) == (0, "")
    assert [r["frames"] for r in report_in(out)["results"]] == ["3 images"] * 2


# Servers that misbehave --------------------------------------------------------------------------
def test_a_stall_shows_in_an_open_loop(fake, tmp_path):
    stalled = threading.Event()

    def stall_once(*_: object) -> None:
        # Every request that arrives meanwhile waits for the end of the stall as well.
        if fake.calls["ModelInfer"] > 30 and not stalled.is_set():
            stalled.set()
            time.sleep(1)

    lock = threading.Lock()

    def one_at_a_time(*_: object) -> None:
        with lock:
            stall_once()

    fake.on_infer = one_at_a_time
    code, _, _ = run_cli(
        *("bench", "--url", fake.url, "--rate", 50, "--out", tmp_path),
        *("--duration", 3, "--warmup", 0, "--size", "320x240"),
    )
    assert code == 0
    (result,) = report_in(tmp_path)["results"]
    histogram = result["histogram"]
    slow = sum(
        count
        for edge, count in zip(histogram["edges_ms"][:-1], histogram["counts"], strict=True)
        if edge > 250
    )
    # 38 were to be sent while it stalled and had 250 ms or more of it before them.
    assert slow > 15
    assert result["latency"]["max_ms"] > 900


def test_errors_are_counted_by_kind(fake, tmp_path):
    fake.on_infer = reject("Exceeds maximum queue size", grpc.StatusCode.UNAVAILABLE, times=10**9)

    def after_the_first_three(request: object, context: grpc.ServicerContext) -> None:
        if fake.calls["ModelInfer"] > 3 and fake.calls["ModelInfer"] % 2:
            reject("Exceeds maximum queue size", grpc.StatusCode.UNAVAILABLE)(request, context)

    fake.on_infer = after_the_first_three
    code, stdout, _ = run_cli("bench", "--url", fake.url, "--rate", 60, *QUICK, "--out", tmp_path)
    assert code == 0
    (result,) = report_in(tmp_path)["results"]
    assert list(result["errors"]) == ["Overloaded"]
    assert result["errors"]["Overloaded"] == pytest.approx(result["answered"], abs=2)
    assert "is overloaded" in result["messages"]["Overloaded"]
    assert "Overloaded x" in stdout


def test_a_backlog_is_worked_off_before_the_next_case(fake, tmp_path):
    refused_until_s = [float("inf")]

    def overloaded_for_a_while(request: object, context: grpc.ServicerContext) -> None:
        if fake.calls["ModelInfer"] == 20:
            refused_until_s[0] = time.monotonic() + 3
        if fake.calls["ModelInfer"] >= 20 and time.monotonic() < refused_until_s[0]:
            reject("Exceeds maximum queue size", grpc.StatusCode.UNAVAILABLE)(request, context)

    fake.on_infer = overloaded_for_a_while
    code, _, _ = run_cli("bench", "--url", fake.url, "--rate", "60,61", *QUICK, "--out", tmp_path)
    assert code == 0
    first, second = report_in(tmp_path)["results"]
    assert first["errors"]["Overloaded"] > 5
    assert second["errors"] == {} and second["answered"] > 20


def test_a_server_that_goes_away_ends_the_run_cleanly(fake, tmp_path):
    def die_later(*_: object) -> None:
        if fake.calls["ModelInfer"] == 60:
            threading.Thread(target=fake.stop).start()

    fake.on_infer = die_later
    code, _, stderr = run_cli(
        *("bench", "--url", fake.url, "--concurrency", "2,4", "--duration", 60, "--warmup", 0),
        *("--out", tmp_path, "--size", "320x240"),
    )
    assert code == 1
    last = stderr.splitlines()[-1]
    assert last.startswith("tridet: error: the run ended early: no server answers at")
    assert "Traceback" not in stderr
    report = report_in(tmp_path)
    assert report["ended_early"]
    (result,) = report["results"]
    assert 20 < result["answered"] < 100
    assert "ServerUnreachable" in result["errors"]
    assert result["fatal"] and result["wall_s"] < 60


def test_no_server_is_one_line(tmp_path):
    code, stdout, stderr = run_cli("bench", "--url", "127.0.0.1:9", "--out", tmp_path / "x", *QUICK)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("tridet: error: no server answers at 127.0.0.1:9")
    assert len(stderr.splitlines()) == 1
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--rate", "0"], 2, "expected numbers above 0"),
        (["--rate", "-5"], 2, "expected numbers above 0"),
        (["--rate", "fast"], 2, "expected numbers as in 50,100, got 'fast'"),
        (["--rate", "nan"], 2, "expected numbers above 0"),
        (["--rate", "inf"], 2, "at most 100000"),
        (["--concurrency", "1,0"], 2, "expected numbers above 0"),
        (["--concurrency", "1.5"], 2, "expected whole numbers as in 1,8, got '1.5'"),
        (["--duration", "0"], 2, "--duration"),
        (["--warmup", "-1"], 2, "--warmup"),
        (["--processes", "0"], 2, "--processes"),
        (["--transport", "fit,udp"], 2, "got 'udp'"),
        (["--size", "big"], 1, "expected WIDTHxHEIGHT as in 1280x720, got 'big'"),
        (["--size", "4x4"], 1, "expected sides of 16 to"),
        (["--p99-limit-ms", "5"], 2, "add it"),
        (["--perf-analyzer"], 2, "add one to --transport"),
        (["nowhere/*.jpg"], 1, "no file matches"),
        (["x.jpg", "--size", "320x240"], 2, "leave it out where images are given"),
        (["nowhere.jpg"], 1, "nowhere.jpg: cannot read the image"),
        (["--model", "pbc"], 1, "has no model 'pbc'"),
        (["--model", "pcb_detector"], 1, "use that name"),
        (["--imgsz", "32"], 1, "expected"),
        (["--size", "4000x4000", "--transport", "encoded"], 1, "4000 x 4000"),
    ],
)
def test_bad_input_is_one_line(fake, arguments, code, text, tmp_path):
    out = tmp_path / "out"
    found, stdout, stderr = run_cli("bench", *arguments, "--url", fake.url, "--out", out)
    assert (found, stdout) == (code, "")
    assert stderr.startswith("tridet: error: ") and text in stderr
    assert len(stderr.splitlines()) == 1
    assert not out.exists() or list(out.iterdir()) == []


def test_an_unwritable_folder_is_found_before_the_run(fake, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, stderr = run_cli("bench", "--url", fake.url, "--out", tmp_path / "file")
    assert code == 1
    assert str(tmp_path / "file") in stderr and len(stderr.splitlines()) == 1
    assert fake.calls["ModelInfer"] == 0


def test_ctrl_c_ends_at_once_and_leaves_no_process(fake, tmp_path):
    entered = threading.Event()

    def note(*_: object) -> None:
        if fake.calls["ModelInfer"] > 5:
            entered.set()

    fake.on_infer = note
    command = [*MAIN, "bench", "--url", fake.url, "--duration", "600", "--processes", "2"]
    process = subprocess.Popen(
        [*command, "--size", "320x240", "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert entered.wait(60)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in stderr and stdout == ""
    assert list(tmp_path.iterdir()) == []
    assert "leaked" not in stderr
    # Python's own resource tracker ends a moment after its parent.
    for _ in range(300):
        if not alive_in_group(process.pid):
            break
        time.sleep(0.1)
    assert alive_in_group(process.pid) == []


def test_help_is_light():
    code = "import sys, tridet_bench.command; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert io.StringIO(run_cli("bench", "--help")[1]).readline().startswith("Usage: tridet bench")
