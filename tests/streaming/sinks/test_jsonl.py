"""A line of JSON per result, whatever becomes of the disk or the reader."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from stream_results import child_environment, made_up
from tridet.streaming.frames import Event
from tridet.streaming.sinks.jsonl import jsonl_sink

SOON_S = 20  # for what happens at once unless it is broken


def test_jsonl_says_all_of_a_result(tmp_path):
    sink = jsonl_sink(str(tmp_path / "out.jsonl"))
    result = replace(
        made_up(2, found=("spur",), counts={"gate": {"spur": 1}}),
        events=(Event("line", "door", {"direction": "in", "track_id": 4}),),
    )
    sink.write(result)
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()  # there before it is closed
    record = json.loads(line)
    assert record.pop("detections") == result.detections.to_dict()["detections"]
    assert record == {
        "source": "cam",
        "index": 2,
        "pts_s": 0.08,
        "captured_at": "2023-11-14T22:13:20.080Z",
        "latency_ms": 12.5,
        "width": 320,
        "height": 240,
        "counts": {"gate": {"spur": 1}},
        "events": [{"kind": "line", "name": "door", "direction": "in", "track_id": 4}],
    }
    sink.close()


def test_jsonl_on_a_full_disk_leaves_whole_lines(tmp_path):
    # A limit on file sizes ends a write as a full disk does: after a part of the line.
    code = """
import resource, signal, sys
from stream_results import child_environment, made_up
from tridet.streaming.sinks.jsonl import jsonl_sink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sink = jsonl_sink(sys.argv[1])
written = 0
try:
    while True:
        sink.write(made_up(written, found=("short",)))
        written += 1
except OSError as error:
    sink.close()
    print(written, error.errno)
"""
    path = tmp_path / "out.jsonl"
    done = run_python(code, path)
    written, _ = map(int, done.stdout.split())
    assert written > 0
    lines = path.read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(written))


def test_a_reader_that_goes_away_ends_jsonl_on_stdout_quietly():
    code = """
from stream_results import child_environment, made_up
from tridet.streaming.sinks.base import SinkDone
from tridet.streaming.sinks.jsonl import jsonl_sink
import sys
sink = jsonl_sink("-")
try:
    for index in range(1_000_000):
        sink.write(made_up(index))
except SinkDone:
    print("done", file=sys.stderr)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(),
    )
    assert json.loads(process.stdout.readline())["index"] == 0
    process.stdout.close()
    assert process.stderr.read() == b"done\n"
    assert process.wait(SOON_S) == 0


def test_jsonl_to_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        jsonl_sink(str(tmp_path / "missing" / "out.jsonl"))


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(),
    )
