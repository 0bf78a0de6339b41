"""Capture from video files: every frame, in order, and a clear word where that cannot be."""

from __future__ import annotations

import socket
import struct
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from rtsp_cameras import read_counter
from rtsp_cameras.counter import draw_counter
from stream_parts import FaultyServer, Watched, wait_until, write_video
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


def encoded(
    path: Path,
    pts_s: list[float],
    *,
    format: str | None = None,
    codec: str = "libx264",
    size: tuple[int, int] = (320, 240),
    ticks: int = 1000,
    **options: str,
) -> Path:
    """Write pictures that carry their number, each at its time."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "10", **options})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        for number, moment in enumerate(pts_s):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            draw_counter(picture, number)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round(moment * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_of(location: Path, **options) -> tuple[list[int], list[float], Watched]:
    """Return the numbers of the pictures, their times, and the capture that gave them."""
    with Watched(str(location), **options) as watched:
        taken = watched.take()
        assert watched.capture.join(10)
    assert watched.capture.error is None
    numbers = [read_counter(decoded.frame().pixels) for decoded in taken]
    return numbers, [decoded.pts_s for decoded in taken], watched


STEADY = [number / 25 for number in range(50)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("b.mp4", {"bf": "3"}),
        ("b.mkv", {"bf": "3"}),
        ("b.ts", {"bf": "3"}),
        ("b.flv", {"bf": "3"}),
        ("b.avi", {"bf": "3"}),
        ("a.mpg", {"codec": "mpeg2video", "bf": "2", "ticks": 25}),
        ("raw.h264", {"format": "h264", "bf": "0"}),
        ("b.h264", {"format": "h264", "bf": "3"}),
        ("raw.m1v", {"format": "mpeg1video", "codec": "mpeg1video", "ticks": 25}),
        ("raw.m4v", {"format": "m4v", "codec": "mpeg4"}),
    ],
)
def test_pictures_come_in_the_order_in_which_they_are_shown_each_at_its_time(
    tmp_path, name, options
):
    numbers, times, watched = frames_of(encoded(tmp_path / name, STEADY, **options))
    assert numbers == list(range(50))
    assert [moment - times[0] for moment in times] == pytest.approx(STEADY, abs=2e-3)
    # An AVI has no times for the frames that are left in the decoder at its end.
    has_times = name not in ("raw.h264", "b.h264", "raw.m1v", "raw.m4v", "b.avi")
    assert watched.stats.snapshot().clock == ("stream" if has_times else "frame rate")


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mpeg4"])
def test_the_pictures_of_a_live_broadcast_come_in_the_order_in_which_they_are_shown(
    tmp_path, codec
):
    path = encoded(tmp_path / "b.ts", STEADY, codec=codec, bf="2", ticks=25)
    with Watched(str(path), live=True, policy="all") as watched:
        taken = watched.take(50)
    assert [read_counter(decoded.frame().pixels) for decoded in taken] == list(range(50))
    times = [decoded.pts_s - taken[0].pts_s for decoded in taken]
    assert times == pytest.approx(STEADY, abs=2e-3)


def test_a_damaged_frame_of_a_file_without_times_took_its_time_nevertheless(tmp_path):
    path = encoded(tmp_path / "raw.h264", STEADY, format="h264", bf="0", g="1")
    content = bytearray(path.read_bytes())
    for place in (0.3, 0.31, 0.6):
        start = round(place * len(content))
        content[start : start + 300] = np.random.default_rng(3).bytes(300)
    path.write_bytes(content)
    numbers, times, watched = frames_of(path)
    snapshot = watched.stats.snapshot()
    assert snapshot.drops["corrupt"] > 0
    assert numbers[-1] == 49
    assert times[-1] == pytest.approx(0.04 * (snapshot.frames_in - 1))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_pauses_of_any_length_are_in_the_times(tmp_path, suffix):
    pts = [0.0, 0.04, 0.5, 0.52, 3.0, 9.0, 7200.0, 7200.04]
    _, times, _ = frames_of(encoded(tmp_path / f"vary.{suffix}", pts, bf="2"))
    assert times == pytest.approx(pts, abs=2e-3)


def test_a_file_may_begin_late_or_wrap_around(tmp_path):
    for begin_s in (50_000.0, 2**33 / 90_000 - 0.9):
        late = encoded(tmp_path / "late.ts", [begin_s + moment for moment in STEADY])
        _, times, _ = frames_of(late)
        assert [moment - times[0] for moment in times] == pytest.approx(STEADY, abs=2e-3)


def test_broadcasts_put_one_behind_the_other_are_one(tmp_path):
    parts = [encoded(tmp_path / f"{begin_s}.ts", [begin_s + moment for moment in STEADY])
             for begin_s in (50_000, 0, 50_000)]  # fmt: skip
    together = tmp_path / "together.ts"
    together.write_bytes(b"".join(part.read_bytes() for part in parts))
    numbers, times, _ = frames_of(together)
    assert numbers == 3 * list(range(50))
    steps = np.diff(times)
    assert steps == pytest.approx(0.04, abs=2e-3)


def with_cover(path: Path) -> Path:
    """Return an MP4 like this one with the picture of an album, which is its first stream."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    jpeg = cv2.imencode(".jpg", np.full((600, 600, 3), 200, np.uint8))[1].tobytes()
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0) + jpeg))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", cover)))
    content, at = path.read_bytes(), 0
    while content[at + 4 : at + 8] != b"moov":
        at += struct.unpack_from(">I", content, at)[0]
    moov = content[at + 8 :]
    assert len(moov) + 8 == struct.unpack_from(">I", content, at)[0]  # it comes last
    covered = path.with_name(f"covered-{path.name}")
    covered.write_bytes(content[:at] + box(b"moov", tags + moov))
    return covered


def test_a_cover_is_no_video(tmp_path, video):
    numbers, _, _ = frames_of(with_cover(video))
    assert numbers == list(range(FRAMES))
    song = tmp_path / "song.m4a"
    with av.open(str(song), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert failure(with_cover(song)).endswith("it holds no video")


def test_of_several_videos_the_default_is_read_else_the_largest(tmp_path):
    sizes = [(160, 96), (640, 384), (320, 240)]

    def size_of(path: Path) -> tuple[int, int]:
        with Watched(str(path)) as watched:
            (decoded,) = watched.take(1)
        return decoded.image.width, decoded.image.height

    for name, size in zip("abc", sizes, strict=True):
        encoded(tmp_path / f"{name}.ts", STEADY, size=size)
        (tmp_path / f"{name}.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{name}.ts\n#EXT-X-ENDLIST\n"
        )
    master = tmp_path / "master.m3u8"
    variants = "".join(
        f"#EXT-X-STREAM-INF:BANDWIDTH={width}000,RESOLUTION={width}x{height}\n{name}.m3u8\n"
        for name, (width, height) in zip("abc", sizes, strict=True)
    )
    master.write_text(f"#EXTM3U\n{variants}")
    assert size_of(master) == (640, 384)

    def with_default(number: int | None) -> Path:
        path = tmp_path / f"{number}.mkv"
        with av.open(str(path), "w") as container:
            streams = []
            for position, size in enumerate(sizes):
                stream = container.add_stream("libx264", rate=25)
                stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
                stream.disposition = Disposition.default if position == number else Disposition(0)
                streams.append(stream)
            for stream in streams:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        return path

    assert size_of(with_default(None)) == (640, 384)
    assert size_of(with_default(2)) == (320, 240)


def test_a_file_of_which_nothing_can_be_decoded_has_failed(tmp_path, video):
    garbage = tmp_path / "garbage.jpg"
    garbage.write_bytes(np.random.default_rng(5).integers(0, 256, 4000, np.uint8).tobytes())
    assert failure(garbage).endswith(
        ("garbage.jpg: no picture in it can be decoded", "not a video, or a damaged one")
    )
    nothing = tmp_path / "nothing.mp4"
    with av.open(str(nothing), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        container.start_encoding()
    assert "nothing.mp4: " in failure(nothing)
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : content.index(b"moov") - 4] = bytes(content.index(b"moov") - 4 - start)
    (tmp_path / "black.mp4").write_bytes(content)
    assert failure(tmp_path / "black.mp4").endswith(": no picture in it can be decoded")


@pytest.mark.parametrize("options", [{"policy": "latest"}, {"live": True, "max_retries": 0}])
def test_a_file_that_stands_for_a_camera_is_no_faster_than_one(tmp_path, options):
    short = encoded(tmp_path / "short.mp4", STEADY[:20])
    with Watched(str(short), **options) as watched:
        taken = watched.take(15)
    first = taken[0]
    assert len(taken) > 5
    for decoded in taken:
        assert decoded.captured_s - first.captured_s >= decoded.pts_s - first.pts_s - 1e-3
        assert decoded.captured_at - first.captured_at >= decoded.pts_s - first.pts_s - 0.1


def test_a_camera_that_sends_jpegs_goes_by_their_arrival():
    jpeg = cv2.imencode(".jpg", np.full((96, 128, 3), 80, np.uint8))[1].tobytes()
    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)

    def send_five_a_second(connection: socket.socket) -> None:
        connection.recv(4096)
        kind = b"multipart/x-mixed-replace;boundary=frame"
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n")
        while True:
            connection.sendall(head + jpeg + b"\r\n")
            time.sleep(0.2)

    with (
        FaultyServer(send_five_a_second) as server,
        Watched(f"http://127.0.0.1:{server.port}/cam.mjpg") as watched,
    ):
        taken = watched.take(5)
    assert watched.stats.snapshot().clock == "arrival"  # FFmpeg would say 25 a second
    first = taken[0]
    assert [decoded.pts_s - first.pts_s for decoded in taken] == pytest.approx(
        [decoded.captured_s - first.captured_s for decoded in taken],
        abs=5e-3,  # two frames that come together are told apart by a millisecond
    )
