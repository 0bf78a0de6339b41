"""The whole way: real RTSP cameras, the real tritonserver, and what comes out at the other end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import pytest
import tridet
from local_triton import LocalServer
from rtsp_cameras import RtspCameras, read_counter
from stream_parts import wait_until, write_video

pytestmark = pytest.mark.server
MAIN = [sys.executable, "-c", "from tridet.cli.main import main; main()"]


@pytest.fixture(scope="module")
def cameras():
    with RtspCameras(2, size=(320, 240), loop_s=20) as running:
        yield running


def test_two_cameras_stay_fresh_and_in_order(stub_server, cameras):
    ages_s = {"door": [], "belt": []}
    indices = {"door": [], "belt": []}
    urls = {f"127.0.0.1:{cameras.port}/cam{number}": number for number in range(2)}
    names = dict(zip(urls, ages_s, strict=True))
    with tridet.stream(
        list(map(cameras.url, range(2))), url=stub_server.grpc_url, model="small"
    ) as results:
        for result in results:
            at = time.time()
            name = names[result.frame.source]
            counter = read_counter(result.frame.pixels)
            assert counter is not None
            # Not by any clock of ours: the picture says when it was sent.
            ages_s[name].append(cameras.age_s(urls[result.frame.source], counter, at=at))
            indices[name].append(result.frame.index)
            if min(map(len, indices.values())) >= 50:
                break
    for name in indices:
        assert all(one < other for one, other in pairwise(indices[name]))
        assert sorted(ages_s[name])[len(ages_s[name]) // 2] < 1
    for snapshot in results.stats():
        assert snapshot.frames_out >= 50
        assert snapshot.reconnects == 0


def test_a_camera_that_dies_is_reconnected_while_the_other_goes_on(stub_server, cameras):
    with tridet.stream(
        list(map(cameras.url, range(2))), url=stub_server.grpc_url, model="small"
    ) as results:
        next(results)
        by_camera = dict.fromkeys((one.source for one in results.stats()), 0)
        dying, well = by_camera
        cameras.kill(0)
        try:
            for result in results:
                by_camera[result.frame.source] += 1
                state = {one.source: one.state for one in results.stats()}
                if state[dying] == "reconnecting" and by_camera[well] >= 20:
                    break
        finally:
            cameras.revive(0)
        assert "failed" not in state.values()
        for result in results:
            if result.frame.source == dying and results.stats()[0].reconnects == 1:
                break


def test_the_real_server_killed_and_back_costs_a_file_no_frame(stub_server, tmp_path):
    video = write_video(tmp_path / "line.mp4", 400)
    lines = tmp_path / "out.jsonl"
    with LocalServer(stub_server.repository, models=["small"]) as first:
        port = int(first.grpc_url.rpartition(":")[2])
        command = [*MAIN, "stream", str(video), "--model", "small", "--url", first.grpc_url]
        process = subprocess.Popen([*command, "--jsonl", str(lines), "-q"], stderr=subprocess.PIPE)
        wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") > 20)
    assert process.poll() is None, "the file was read before the server could be stopped"
    with LocalServer(stub_server.repository, models=["small"], grpc_port=port):
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err.decode()) == (0, "")
    written = [json.loads(line)["index"] for line in lines.read_text().splitlines()]
    assert written == list(range(400))


def test_ctrl_c_is_how_a_camera_ends(stub_server, cameras, tmp_path):
    lines, saved = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    command = [*MAIN, "stream", cameras.url(0), "--model", "small", "--url", stub_server.grpc_url]
    command += ["--jsonl", str(lines), "--save", str(saved)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") > 20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    written = [json.loads(line)["index"] for line in lines.read_text().splitlines()]
    assert all(one < other for one, other in pairwise(written))
    assert frames_in(saved) == len(written)
    assert f"--jsonl {lines}: {len(written)} results" in err


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
