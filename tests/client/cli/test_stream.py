"""``tridet stream``: what it writes and prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import pytest
from fake_triton import FakeTriton, run_cli
from stream_parts import wait_until, write_video
from stream_webhook import receiving

MAIN = [sys.executable, "-c", "from tridet.cli.main import main; main()"]
FRAMES = 40


@pytest.fixture
def fake():
    with FakeTriton() as server:
        yield server


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "line.mp4", FRAMES)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def error_lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("tridet: error:")]


def test_a_file_gives_every_frame_exactly_once_in_order(fake, video, tmp_path):
    lines, saved = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    code, out, err = run_cli("stream", video, "--jsonl", lines, "--save", saved, "--url", fake.url)
    assert (code, out) == (0, "")
    assert [record["index"] for record in records(lines)] == list(range(FRAMES))
    assert {record["source"] for record in records(lines)} == {"line.mp4"}
    assert frames_in(saved) == FRAMES
    changes = [line for line in err.splitlines() if line.startswith("line.mp4: ")]
    assert changes[-1] == "line.mp4: ended"
    header, row = (line.split() for line in err.splitlines() if "  " in line)
    assert dict(zip(header, row, strict=False))["detected"] == str(FRAMES)
    assert f"--jsonl {lines}: {FRAMES} results" in err


def test_jsonl_on_stdout_is_all_that_is_there(fake, video):
    code, out, err = run_cli("stream", video, "--jsonl", "-", "--quiet", "--url", fake.url)
    assert (code, err) == (0, "")
    assert [json.loads(line)["index"] for line in out.splitlines()] == list(range(FRAMES))


def test_statistics_are_json_lines_that_end_with_the_final_counts(fake, video, tmp_path):
    path = tmp_path / "stats.jsonl"
    code, _, _ = run_cli("stream", video, video, "--stats", path, "-q", "--url", fake.url)
    assert code == 0
    assert {record["source"] for record in records(path)} == {"line.mp4", "line.mp4-2"}
    at = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"  # as the results' captured_at
    assert all(re.fullmatch(at, record["at"]) for record in records(path))
    for last in records(path)[-2:]:
        assert last["state"] == "ended"
        assert last["frames_in"] == last["frames_out"] == FRAMES
        assert last["latency_p50_ms"] > 0


def test_a_config_file_and_a_source_beside_it(fake, video, tmp_path):
    config = tmp_path / "cameras.toml"
    config.write_text(f'[[source]]\nlocation = "{video}"\nname = "belt"\nmax_fps = 5\n')
    lines = tmp_path / "out.jsonl"
    options = ["--config", config, "--jsonl", lines, "-q", "--url", fake.url]
    assert run_cli("stream", video, *options)[0] == 0
    indices = {"belt": [], "line.mp4": []}
    for record in records(lines):
        indices[record["source"]].append(record["index"])
    assert indices == {"belt": list(range(0, FRAMES, 5)), "line.mp4": list(range(FRAMES))}


def test_zones_lines_and_tracks_are_in_the_records(fake, video, tmp_path):
    lines = tmp_path / "out.jsonl"
    areas = ["--zone", "all=0,0,1,0,1,1,0,1", "--line", "mid=0.5,0,0.5,1", "--track"]
    assert run_cli("stream", video, *areas, "--jsonl", lines, "-q", "--url", fake.url)[0] == 0
    last = records(lines)[-1]
    assert set(last["counts"]) == {"all", "mid"}
    assert all("track_id" in found for found in last["detections"])


def test_an_alert_runs_its_command(fake, video, tmp_path):
    alerts = tmp_path / "alerts"
    script = tmp_path / "keep.sh"
    script.write_text(f"#!/bin/sh\ncat >> {alerts}\n")
    script.chmod(0o755)
    options = ["--alert", "any for 200ms every 60s", "--exec", script]
    assert run_cli("stream", video, *options, "-q", "--url", fake.url)[0] == 0
    assert json.loads(alerts.read_text())["alert"]["rule"] == "any for 200ms every 60s"


def test_secrets_need_not_be_on_the_command_line(fake, video, monkeypatch):
    with receiving() as server:
        monkeypatch.setenv("HOOK", server.url)
        options = ["--alert", "any", "--webhook", "${HOOK}", "-q", "--url", fake.url]
        assert run_cli("stream", video, *options) == (0, "", "")
    assert server.posts[0][0] == "/services/T0/s3cret?x=1"


def test_a_source_that_fails_ends_with_1_and_the_others_are_finished(fake, video, tmp_path):
    lines = tmp_path / "out.jsonl"
    code, _, err = run_cli(
        "stream", tmp_path / "gone.mp4", video, "--jsonl", lines, "-q", "--url", fake.url
    )
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: ") and "gone.mp4: no such file" in line
    assert len(records(lines)) == FRAMES


def test_a_file_of_which_nothing_can_be_decoded_ends_with_1(fake, tmp_path):
    garbage = tmp_path / "garbage.jpg"
    garbage.write_bytes(bytes(range(256)) * 20)
    code, _, err = run_cli("stream", garbage, "-q", "--url", fake.url)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: ") and "garbage.jpg: " in line


def test_an_output_that_fails_ends_with_1_and_the_others_are_finished(fake, video, tmp_path):
    lines = tmp_path / "out.jsonl"
    (tmp_path / "out" / "belt.mp4").mkdir(parents=True)  # in the place of the file
    config = tmp_path / "cameras.yaml"
    config.write_text(f"source:\n- location: {video}\n  name: belt\n")
    options = ["--jsonl", lines, "--save", tmp_path / "out", "-q", "--url", fake.url]
    code, _, err = run_cli("stream", "--config", config, *options)
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: --save ")
    assert len(records(lines)) == FRAMES


def test_a_full_disk_costs_that_output_alone_and_its_link_stays(fake, video, tmp_path):
    lines, saved, stats = (tmp_path / name for name in ("out.jsonl", "out.mp4", "stats"))
    target = tmp_path / "elsewhere.jsonl"
    lines.symlink_to(target)
    saved.symlink_to("/dev/full")
    stats.symlink_to("/dev/full")
    options = ["--jsonl", lines, "--save", saved, "--stats", stats, "-q", "--url", fake.url]
    code, _, err = run_cli("stream", video, *options)
    assert code == 1
    assert sorted(line.partition("No space")[0] for line in err.splitlines()) == [
        f"tridet: error: --save {saved}: ",
        f"tridet: error: --stats {stats}: ",
    ]
    assert [record["index"] for record in records(target)] == list(range(FRAMES))
    assert lines.is_symlink() and saved.is_symlink() and stats.is_symlink()


def test_stdout_under_its_path_is_added_to(fake, video, tmp_path):
    log = tmp_path / "log"
    log.write_text("what was there\n")
    with log.open("a") as out:
        command = [*MAIN, "stream", str(video), "--jsonl", "/dev/stdout", "-q", "--url", fake.url]
        subprocess.run(command, stdout=out, check=True, timeout=60)
    first, *written = log.read_text().splitlines()
    assert first == "what was there"
    assert [json.loads(line)["index"] for line in written] == list(range(FRAMES))


def test_the_reader_of_a_pipe_may_go(fake, video, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*MAIN, "stream", str(video), "--jsonl", str(pipe), "-q", "--url", fake.url]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with pipe.open() as reader:
        assert json.loads(reader.readline())["index"] == 0
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("option", ["--jsonl", "--stats", "--save"])
def test_no_output_empties_a_source(fake, video, tmp_path, option):
    link = tmp_path / "other.mp4"
    link.symlink_to(video)
    before = video.read_bytes()
    code, _, err = run_cli("stream", video, option, link, "--url", fake.url)
    assert (code, err) == (
        1,
        f"tridet: error: {option}: {link} is a source itself; choose another name\n",
    )
    assert video.read_bytes() == before


def test_no_name_commands_the_terminal(fake, video, tmp_path):
    named = tmp_path / "a\x1b[2J\r\nb\x9b.mp4"
    named.symlink_to(video)
    gone = tmp_path / "gone\x1b]0;owned\x07.mp4"
    code, _, err = run_cli("stream", named, gone, "--url", fake.url)
    assert code == 1
    assert "a\\x1b[2J\\r\\nb\\x9b.mp4" in err
    assert not set(err) & {"\x1b", "\x9b", "\r", "\x07"}
    code, _, err = run_cli("stream", "x.mp4", "--zone", "\x1b[2J=1", "--url", fake.url)
    assert code == 1 and "\x1b" not in err


def test_without_a_server_nothing_is_written(video, tmp_path):
    with FakeTriton() as gone:
        pass
    lines = tmp_path / "out.jsonl"
    lines.write_text("the results of yesterday\n")
    code, _, err = run_cli("stream", video, "--jsonl", lines, "--url", gone.url)
    assert code == 1
    assert err.startswith(f"tridet: error: no server answers at {gone.url}")
    assert len(err.splitlines()) == 1
    assert lines.read_text() == "the results of yesterday\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "expected a SOURCE or --config, got neither"),
        (["--config", "c.toml", "--max-fps", "5"], 2, "--max-fps is for SOURCEs"),
        (["x.mp4", "--alert", "any"], 2, "expected --webhook or --exec beside it"),
        (["x.mp4", "--webhook", "http://localhost:1/"], 2, "expected --alert beside it"),
        (["x.mp4", "--alert", "pink", "--exec", "true"], 1, "expected a class of blue, green, red"),
        (["x.mp4", "--config", "/nowhere.toml"], 1, "/nowhere.toml: no such file"),
        (["x.mp4", "--zone", "gate=1,2"], 1, "zone gate: "),
        (["x.mp4", "--save", "out.avi"], 1, "--save: expected "),
        (["x.mp4", "--stats", "/nowhere/stats"], 1, "/nowhere/stats"),
        (
            ["a.mp4", "b.mp4", "--publish", "rtsp://u:s3cr3t@x/live"],
            1,
            "expected {name} in the URL",
        ),
        (["rtsp://u:s3cr3t@x", "--policy", "new"], 2, "--policy"),
        (["gopher://u:s3cr3t@x"], 1, "unknown scheme"),
        (
            ["x.mp4", "--alert", "any", "--webhook", "http://h/s3cr3t/${NOT_SET}"],
            1,
            "--webhook: expected the environment variable NOT_SET, it is not set",
        ),
        (["x.mp4", "--publish", "rtsp://u:s3cr3t@${NOT_SET}/x"], 1, "variable NOT_SET"),
    ],
)
def test_errors_are_one_line_without_a_password(fake, arguments, code, text):
    got, out, err = run_cli("stream", *arguments, "--url", fake.url)
    assert (got, out) == (code, "")
    (line,) = err.splitlines()
    assert line.startswith("tridet: error: ") and text in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        ([], "av", "stream"),
        (["--web", ":0"], "aiohttp", "stream"),
        (["--web", ":0"], "supervision", "stream"),
        (["--save", "out.mp4"], "supervision", "stream"),
        (["--show"], "supervision", "stream"),
        (["--publish", "rtsp://host/live"], "supervision", "stream"),
        (["--track"], "trackers", "track"),
        (["--track"], "supervision", "track"),
        (["--line", "mid=0.5,0,0.5,1"], "trackers", "track"),
        (["--config", "cameras.yaml"], "yaml", "stream"),
    ],
)
def test_a_missing_extra_is_one_line_before_anything_is_opened(
    fake, video, tmp_path, monkeypatch, arguments, missing, extra
):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    Path("cameras.yaml").write_text(f"source:\n- location: {video}\n")
    options = ["--jsonl", "out.jsonl", "--url", fake.url]
    line = f"expected the package {missing}, found none; pip install 'tridet[{extra}]'"
    code, out, err = run_cli("stream", video, *arguments, *options)
    assert (code, out, err) == (1, "", f"tridet: error: {line}\n")
    assert not fake.calls
    assert [path.name for path in tmp_path.iterdir()] == ["cameras.yaml"]


def test_the_duration_ends_a_run_with_0(fake, video, tmp_path):
    fake.on_infer = lambda *_: time.sleep(0.2)
    lines = tmp_path / "out.jsonl"
    options = ["--duration", "0.5", "--in-flight", "1", "--jsonl", lines]
    assert run_cli("stream", video, *options, "-q", "--url", fake.url)[0] == 0
    assert [record["index"] for record in records(lines)] == list(range(len(records(lines))))
    assert 0 < len(records(lines)) < FRAMES


def test_a_server_that_is_killed_and_back_costs_no_frame(video, tmp_path):
    lines = tmp_path / "out.jsonl"
    with FakeTriton() as first:

        def die_at_the_tenth(*_):
            if first.calls["ModelInfer"] == 10:
                threading.Thread(target=first.stop).start()
            if first.calls["ModelInfer"] >= 10:
                time.sleep(0.1)

        first.on_infer = die_at_the_tenth
        command = [*MAIN, "stream", str(video), "--jsonl", str(lines), "--url", first.url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: first.calls["ModelInfer"] >= 10)
        time.sleep(0.5)
        with FakeTriton(port=first.port):
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [record["index"] for record in records(lines)] == list(range(FRAMES))


@pytest.mark.parametrize(
    ("requests", "number", "code"),
    [
        *((requests, signal.SIGINT, 130) for requests in (1, 2, 3, 8, 20)),
        (12, signal.SIGTERM, 143),
    ],
)
def test_a_signal_at_any_moment_leaves_whole_files_and_counts(
    fake, video, tmp_path, requests, number, code
):
    fake.on_infer = lambda *_: time.sleep(0.05)
    lines, saved, stats = (tmp_path / name for name in ("out.jsonl", "out.mp4", "stats"))
    command = [*MAIN, "stream", str(video), "--url", fake.url, "--in-flight", "1"]
    command += ["--jsonl", str(lines), "--save", str(saved), "--stats", str(stats)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: fake.calls["ModelInfer"] >= requests)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    written = [record["index"] for record in records(lines)]
    assert written == list(range(len(written)))
    if written:
        assert frames_in(saved) == len(written)
    assert records(stats)[-1]["frames_out"] == len(written)
    assert f"--jsonl {lines}: {len(written)} results" in err


def test_a_second_ctrl_c_ends_at_once(fake, video):
    over = threading.Event()
    fake.on_infer = lambda *_: over.wait(60)
    command = [*MAIN, "stream", str(video), "--url", fake.url]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: fake.calls["ModelInfer"] > 0)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        over.set()
    assert process.returncode == 130
    assert "Traceback" not in err and "frames" not in err
