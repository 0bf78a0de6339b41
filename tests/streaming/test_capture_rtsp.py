"""Capture from a real RTSP server, whose cameras are killed, frozen, locked and changed."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from rtsp_cameras import RtspCameras, read_counter
from stream_parts import FaultyServer, Watched, say_nothing, talk_rtsp_then_garbage
from tridet import SourceFailed
from tridet.streaming.stats import State

pytestmark = pytest.mark.cameras


@pytest.fixture(scope="module")
def cameras() -> Iterator[RtspCameras]:
    with RtspCameras(2, size=(320, 240), other_size=(480, 352), loop_s=20) as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[RtspCameras]:
    with RtspCameras(1, size=(320, 240), loop_s=2, user="admin", password="s3cr3t") as running:
        yield running


def counters(watched: Watched, count: int) -> list[int]:
    found = [read_counter(decoded.frame().pixels) for decoded in watched.take(count)]
    assert None not in found
    return [number for number in found if number is not None]


def test_frames_come_in_order_with_their_numbers(cameras):
    with Watched(cameras.url(0), policy="all", name="door") as watched:
        taken = watched.take(15)
        assert watched.stats.state is State.LIVE
    frames = [decoded.frame() for decoded in taken]
    assert {frame.source for frame in frames} == {"door"}
    assert {frame.pixels.shape for frame in frames} == {(240, 320, 3)}
    assert [frame.index for frame in frames] == list(
        range(frames[0].index, frames[0].index + len(frames))
    )
    numbers = [read_counter(frame.pixels) for frame in frames]
    first = numbers[0]
    assert first is not None
    assert numbers == [(first + step) % cameras.loop for step in range(len(frames))]
    stamps = [frame.pts_s for frame in frames]
    assert stamps == sorted(stamps)
    assert watched.stats.snapshot().reconnects == 0


def test_the_newest_frame_is_kept_and_the_others_are_counted(cameras):
    with Watched(cameras.url(0)) as watched:
        watched.take(1)
        before = watched.stats.snapshot()
        watched.until(lambda stats: stats.snapshot().frames_in >= before.frames_in + 50)
        (late,) = watched.take(1)
        snapshot = watched.stats.snapshot()
    # Two seconds' worth of frames came; had they queued up, the next would be the oldest of them.
    newest = snapshot.frames_in - before.frames_in
    assert late.index - before.frames_in + 1 >= newest - 2
    assert snapshot.drops["newer"] >= 48
    counter = read_counter(late.frame().pixels)
    assert counter is not None
    # What the picture itself says: it was sent when it was captured, not seconds before.
    assert cameras.age_s(0, counter, at=late.captured_at) < 1


def test_a_camera_that_dies_five_times_comes_back(cameras):
    with Watched(cameras.url(1)) as watched:
        for deaths in range(5):
            watched.take(2)
            watched.until(lambda stats: stats.state is State.LIVE)
            cameras.kill(1)
            watched.until(lambda stats: stats.state is State.RECONNECTING)
            assert watched.stats.reason
            cameras.revive(1)
            watched.until(lambda stats, seen=deaths + 1: stats.snapshot().reconnects == seen)
        assert len(counters(watched, 3)) == 3
        assert watched.stats.state is State.LIVE
        assert watched.capture.error is None


def test_one_dead_camera_does_not_touch_another(cameras):
    with Watched(cameras.url(0)) as well, Watched(cameras.url(1)) as dying:
        well.take(1)
        dying.take(1)
        cameras.kill(1)
        dying.until(lambda stats: stats.state is State.RECONNECTING)
        assert len(well.take(10)) == 10
        cameras.revive(1)
        dying.take(2)
        assert well.stats.snapshot().reconnects == 0


def test_the_whole_server_goes_and_comes_back(cameras):
    with Watched(cameras.url(0)) as watched:
        watched.take(1)
        cameras.stop()
        watched.until(lambda stats: stats.reason.startswith("connection refused"))
        assert watched.stats.state is State.RECONNECTING
        cameras.start()
        watched.until(lambda stats: stats.state is State.LIVE)
        assert len(counters(watched, 3)) == 3


def test_a_camera_that_stops_sending_is_stalled_then_connected_anew(cameras):
    with Watched(cameras.url(0), stall_after_s=0.5, read_timeout_s=1.5) as watched:
        watched.take(1)
        cameras.freeze(0)
        try:
            watched.until(lambda stats: stats.state is State.STALLED)
            assert watched.stats.reason.startswith("no frame for")
            watched.until(lambda stats: stats.state is State.RECONNECTING)
            assert watched.stats.reason.startswith("timed out after 1.5 s")
        finally:
            cameras.thaw(0)
        watched.until(lambda stats: stats.state is State.LIVE)
        assert watched.stats.snapshot().reconnects == 1


def test_the_resolution_changes_mid_stream(cameras):
    shapes = []
    with Watched(cameras.url(0), policy="all") as watched:
        for clip, height in ((0, 240), (1, 352), (0, 240)):
            cameras.show(0, clip)
            while not shapes or shapes[-1][0] != height:
                (decoded,) = watched.take(1)
                frame = decoded.frame()
                shapes.append(frame.pixels.shape)
            assert read_counter(frame.pixels) is not None
        assert watched.stats.snapshot().reconnects == 0
    assert set(shapes) == {(240, 320, 3), (352, 480, 3)}


def test_max_fps_drops_the_rest_evenly(cameras):
    with Watched(cameras.url(0), policy="all", max_fps=5) as watched:
        taken = watched.take(6)
        snapshot = watched.stats.snapshot()
    steps = [later.index - earlier.index for earlier, later in pairwise(taken)]
    assert all(4 <= step <= 6 for step in steps), steps
    assert snapshot.drops["rate"] >= 4 * len(steps) - 4


def test_the_right_password_opens(locked):
    with Watched(locked.url(0, "admin:s3cr3t")) as watched:
        assert len(watched.take(2)) == 2
        assert "s3cr3t" not in watched.source.name + repr(watched.source)


@pytest.mark.parametrize("credentials", ["admin:wr0ng", ""])
def test_a_wrong_password_is_said_but_not_shown(locked, credentials):
    with Watched(locked.url(0, credentials), max_retries=1) as watched:
        assert watched.take() == []
        assert watched.capture.join(10)
    error = watched.capture.error
    assert isinstance(error, SourceFailed)
    assert "401" in str(error) and "given up after 1 retries" in str(error)
    for text in (str(error), repr(error), str(watched.stats.snapshot()), repr(watched.source)):
        assert "wr0ng" not in text
        assert "\n" not in text
    assert watched.stats.state is State.FAILED


def test_a_camera_that_was_never_there_is_tried_again(cameras):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free_port = listener.getsockname()[1]
    with Watched(f"rtsp://127.0.0.1:{free_port}/cam") as watched:
        watched.until(lambda stats: stats.reason.startswith("connection refused; next attempt in"))
        assert watched.stats.state is State.CONNECTING
        assert watched.capture.error is None
    assert watched.capture.join(10)
    assert watched.stats.state is State.ENDED
    with Watched(cameras.url(0) + "-none", max_retries=0) as watched:
        assert watched.take() == []
    assert "404" in str(watched.capture.error)


@pytest.mark.timeout(15)  # two attempts of half a second; else the read timeout, 10 s, holds
@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http"])
def test_a_server_that_says_nothing_times_out(scheme):
    with FaultyServer(say_nothing) as server:
        location = f"{scheme}://127.0.0.1:{server.port}/cam"
        with Watched(location, connect_timeout_s=0.5, max_retries=1) as watched:
            assert watched.take() == []
    assert "timed out after 0.5 s" in str(watched.capture.error)


def test_garbage_is_given_up_and_counted():
    with FaultyServer(talk_rtsp_then_garbage) as server:
        location = f"rtsp://127.0.0.1:{server.port}/cam"
        with Watched(location, connect_timeout_s=1, read_timeout_s=1, max_retries=1) as watched:
            assert watched.take() == []
    snapshot = watched.stats.snapshot()
    assert isinstance(watched.capture.error, SourceFailed)
    assert snapshot.frames_in == snapshot.drops["corrupt"] > 0


def test_the_program_ends_while_a_camera_hangs():
    """Stopping returns at once, and a read that still hangs does not keep the process."""
    with FaultyServer(say_nothing) as server:
        code = f"""
            from stream_parts import Watched
            watched = Watched("rtsp://127.0.0.1:{server.port}/cam", connect_timeout_s=600)
            with watched:
                assert not watched.capture.join(0.3)
            assert not watched.capture.join(0)
            print("done")
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_nothing_is_delivered_after_the_stop(cameras):
    with Watched(cameras.url(0)) as watched:
        watched.take(1)
        watched.capture.stop()
        assert watched.capture.join(10)
        before = watched.stats.snapshot().frames_in
        assert len(watched.take()) <= 1
        time.sleep(0.2)
        assert watched.stats.snapshot().frames_in == before
    assert watched.stats.state is State.ENDED
    assert watched.stats.reason == "stopped"
