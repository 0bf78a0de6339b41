"""Capture from video files: every frame, in order, and a clear word where that cannot be."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from rtsp_cameras import read_counter
from stream_parts import Watched, wait_until, write_video
from tridet import InvalidInput, SourceFailed
from tridet.streaming.stats import State

FRAMES = 120


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "a: board.mp4", FRAMES)


def failure(location: Path | str, **options) -> str:
    with Watched(str(location), **options) as watched:
        watched.take()
        assert watched.capture.join(10)
    assert watched.stats.state is State.FAILED
    assert isinstance(watched.capture.error, (SourceFailed, InvalidInput))
    assert watched.stats.reason == str(watched.capture.error)
    assert "\n" not in watched.stats.reason
    return watched.stats.reason


def test_every_frame_comes_in_order(video):
    with Watched(str(video)) as watched:
        taken = watched.take()
        assert watched.capture.join(10)
    assert [read_counter(decoded.frame().pixels) for decoded in taken] == list(range(FRAMES))
    assert [decoded.index for decoded in taken] == list(range(FRAMES))
    assert [decoded.pts_s for decoded in taken] == pytest.approx(
        [number / 25 for number in range(FRAMES)]
    )
    snapshot = watched.stats.snapshot()
    assert (snapshot.frames_in, snapshot.drops) == (FRAMES, {})
    assert watched.stats.state is State.ENDED
    assert watched.capture.error is None


def test_a_colon_in_a_name_is_no_protocol(video, monkeypatch):
    monkeypatch.chdir(video.parent)
    with Watched(video.name) as watched:
        assert len(watched.take()) == FRAMES


def test_a_file_waits_for_its_reader(video):
    with Watched(str(video)) as watched:
        watched.take(1)
        # One frame was taken, a few fill the queue, one more waits in the thread's hands.
        watched.until(lambda stats: stats.snapshot().frames_in == 6)
        assert watched.stats.state is State.LIVE
        watched.capture.stop()
        assert watched.capture.join(10)
    assert watched.stats.snapshot().frames_in == 6
    assert watched.stats.state is State.ENDED


def test_max_fps_of_a_file_goes_by_its_own_time(video):
    with Watched(str(video), max_fps=10) as watched:
        stamps = [decoded.pts_s for decoded in watched.take()]
    assert len(stamps) == pytest.approx(FRAMES * 10 / 25, abs=1)
    assert watched.stats.snapshot().drops == {"rate": FRAMES - len(stamps)}


def test_turned_video_is_upright(tmp_path, video):
    content = bytearray(video.read_bytes())
    matrix = content.index(b"tkhd") + 44
    # A quarter turn clockwise, as a phone that was held upright notes it in the track's header.
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    with Watched(str(turned)) as watched:
        (decoded,) = watched.take(1)
    upright = decoded.frame().pixels
    assert upright.shape == (320, 240, 3)
    assert read_counter(np.rot90(upright)) == 0


def test_no_such_file():
    assert failure("no/such.mp4") == "no/such.mp4: no such file or directory"


def test_no_video(tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("these are notes")
    assert failure(text).endswith("notes.mp4: invalid data: not a video, or a damaged one")
    (tmp_path / "empty.mp4").touch()
    assert "invalid data" in failure(tmp_path / "empty.mp4")
    assert failure(tmp_path).endswith(": is a directory")


def test_a_file_cut_off_before_its_index(tmp_path, video):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:-4000])
    assert "invalid data" in failure(cut)


def test_what_was_written_of_a_cut_off_recording_is_read(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", FRAMES)
    cut = tmp_path / "cut.mkv"
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    with Watched(str(cut)) as watched:
        numbers = [read_counter(decoded.frame().pixels) for decoded in watched.take()]
    assert 20 < len(numbers) < FRAMES
    assert numbers == list(range(len(numbers)))


def test_damaged_frames_are_counted_and_the_rest_is_read(tmp_path, video):
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + len(content) // 4
    noise = np.random.default_rng(3).integers(0, 256, 600, np.uint8).tobytes()
    content[start : start + len(noise)] = noise
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with Watched(str(damaged)) as watched:
        numbers = [read_counter(decoded.frame().pixels) for decoded in watched.take()]
    snapshot = watched.stats.snapshot()
    assert snapshot.drops["corrupt"] > 0
    assert snapshot.frames_in == len(numbers) + snapshot.drops["corrupt"]
    # The damage is over with the next key frame.
    assert numbers[-10:] == list(range(FRAMES - 10, FRAMES))
    assert watched.stats.state is State.ENDED


def test_sound_alone_is_no_video(tmp_path):
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert failure(sound).endswith("it holds no video")


def test_hardware_that_is_not_there(video):
    assert "expected a device that decodes on this machine, got 'abacus'" in failure(
        video, hwaccel="abacus"
    )
    with Watched(str(video), hwaccel="auto") as watched:
        assert len(watched.take()) == FRAMES


def test_no_thread_is_left(video):
    before = threading.active_count()
    with Watched(str(video)) as watched:
        watched.take()
    wait_until(lambda: threading.active_count() == before)


def test_stopped_in_the_middle_of_a_frame_that_waits(video):
    for _ in range(20):
        with Watched(str(video)) as watched:
            pass
        assert watched.capture.join(10)
        assert watched.stats.state is State.ENDED
