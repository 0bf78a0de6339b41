"""``--save``: real H.264 in MP4, decoded again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from stream_results import child_environment, made_up, plain
from tridet import InvalidInput
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.sinks.mp4 import Mp4Sink, mp4_targets

SOON_S = 30
# Writes until it is killed or fails, and says which frame it has written.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from stream_results import child_environment, made_up, plain
from tridet.streaming.sinks.mp4 import Mp4Sink
noise = np.random.default_rng(0).integers(0, 255, (40, 240, 320, 3), dtype=np.uint8)
sink = Mp4Sink(Path(sys.argv[1]), plain)
index = 0
while True:
    try:
        sink.write(made_up(index, pixels=noise[index % 40]))
    except OSError as error:
        sink.close()
        print("error", error.errno, flush=True)
        break
    print(index, flush=True)
    index += 1
"""


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def decodable(path: Path) -> list[av.VideoFrame]:
    """The frames before the place where the file breaks off, if it does."""
    frames = []
    with av.open(str(path)) as container:
        try:
            frames.extend(container.decode(video=0))
        except av.InvalidDataError:
            assert frames
    return frames


def times(frames: list[av.VideoFrame]) -> list[float]:
    return [frame.time for frame in frames]


def test_every_frame_at_its_own_time(tmp_path):
    pts = [7.0, 7.04, 7.08, 7.5, 7.54, 9.9, 9.91, 14.0, 14.0333]
    sink = Mp4Sink(tmp_path / "out.mp4", plain)
    for index, pts_s in enumerate(pts):
        sink.write(made_up(4 * index, pts_s=pts_s))
    sink.close()
    frames = decoded(tmp_path / "out.mp4")
    assert times(frames) == pytest.approx([pts_s - 7.0 for pts_s in pts], abs=1e-4)
    levels = [frame.to_ndarray(format="bgr24").mean() for frame in frames]
    assert levels == pytest.approx([8 * (4 * i % 32) for i in range(len(pts))], abs=4)
    with av.open(str(tmp_path / "out.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")  # what browsers play


def test_what_is_saved_is_the_annotated_picture(tmp_path):
    sink = Mp4Sink(tmp_path / "out.mp4", lambda result: 255 - result.frame.pixels)
    sink.write(made_up(0))
    sink.close()
    (frame,) = decoded(tmp_path / "out.mp4")
    assert frame.to_ndarray(format="bgr24").min() > 250


def test_colours_survive(tmp_path):
    colours = np.zeros((64, 96, 3), np.uint8)
    for place, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        colours[:, 32 * place : 32 * place + 32] = colour
    sink = Mp4Sink(tmp_path / "out.mp4", plain)
    sink.write(made_up(size=(96, 64), pixels=colours))
    sink.close()
    (frame,) = decoded(tmp_path / "out.mp4")
    seen = frame.to_ndarray(format="bgr24")
    for x in (16, 48, 80):
        assert seen[32, x] == pytest.approx(colours[32, x], abs=20)


@pytest.mark.parametrize("size", [(321, 241), (321, 240), (2, 3), (1, 1)])
def test_odd_sizes_lose_no_pixel(tmp_path, size):
    sink = Mp4Sink(tmp_path / "out.mp4", plain)
    sink.write(made_up(20, size=size))
    sink.close()
    (frame,) = decoded(tmp_path / "out.mp4")
    assert (frame.width, frame.height) == tuple(side + side % 2 for side in size)
    assert frame.to_ndarray(format="bgr24") == pytest.approx(160, abs=4)


def test_another_resolution_begins_another_file_and_the_times_go_on(tmp_path):
    sink = Mp4Sink(tmp_path / "out.mp4", plain)
    for index in range(9):
        sink.write(made_up(index, size=[(320, 240), (640, 480), (320, 240)][index // 3]))
    sink.close()
    assert [path.name for path in sink.paths] == ["out.mp4", "out.part2.mp4", "out.part3.mp4"]
    for path, width in zip(sink.paths, (320, 640, 320), strict=True):
        frames = decoded(path)
        assert [frame.width for frame in frames] == [width] * 3
        assert times(frames) == pytest.approx([0, 0.04, 0.08], abs=1e-4)


def test_a_new_run_overwrites_the_file(tmp_path):
    for count in (5, 2):
        sink = Mp4Sink(tmp_path / "out.mp4", plain)
        for index in range(count):
            sink.write(made_up(index))
        sink.close()
        assert len(decoded(tmp_path / "out.mp4")) == count


def writer(path: Path, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
        **options,
    )


@pytest.mark.parametrize("killed_after", [30, 101])
def test_a_run_killed_at_any_moment_leaves_a_playable_file(tmp_path, killed_after):
    process = writer(tmp_path / "out.mp4")
    for line in process.stdout:
        if int(line) == killed_after:
            process.send_signal(signal.SIGKILL)
            break
    process.wait(SOON_S)
    frames = decodable(tmp_path / "out.mp4")
    # All but the last half second, 12.5 frames, and the frame that ends a fragment.
    assert len(frames) >= killed_after + 1 - 14
    assert times(frames) == pytest.approx([i / 25 for i in range(len(frames))], abs=1e-4)


def test_a_full_disk_is_one_error_and_what_was_written_stays_playable(tmp_path):
    # A limit on file sizes: a disk that is full for this file.
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
    done = subprocess.run(
        [sys.executable, "-c", limit + WRITER, tmp_path / "out.mp4"],
        capture_output=True,
        text=True,
        timeout=SOON_S,
        env=child_environment(),
        check=True,
    )
    *_, last, error = done.stdout.splitlines()
    assert error.startswith("error")
    assert "Traceback" not in done.stderr
    frames = decodable(tmp_path / "out.mp4")
    assert 0 < len(frames) <= int(last) + 1
    assert len(frames) >= int(last) + 1 - 28  # one fragment may be cut, one may be in memory


def test_a_device_without_room_fails_the_sink_once_and_only_it(tmp_path):
    full, good = Mp4Sink(Path("/dev/full"), plain), Mp4Sink(tmp_path / "good.mp4", plain)
    ends: list[SinkThread] = []
    threads = [SinkThread(sink, on_end=ends.append) for sink in (full, good)]

    async def main() -> None:
        for thread in threads:
            thread.start()
        for index in range(40):
            for thread in threads:
                await thread.put(made_up(index), policy="all")

    asyncio.run(main())
    for thread in threads:
        thread.close()
        assert thread.join(SOON_S)
    assert ends == [threads[0]]
    assert str(threads[0].error) == "--save /dev/full: No space left on device"
    assert threads[1].error is None
    assert len(decoded(tmp_path / "good.mp4")) == 40


def test_the_files_of_one_source_and_of_several(tmp_path):
    one, several = {"cam": "rtsp://x"}, {"cam": "a", "Cam": "b", "hall/left 2": "c", "..": "d"}
    assert mp4_targets(tmp_path / "new" / "out.mp4", one) == {"cam": tmp_path / "new" / "out.mp4"}
    assert (tmp_path / "new").is_dir()
    names = [path.name for path in mp4_targets(tmp_path / "out.mp4", several).values()]
    assert names == ["out-cam.mp4", "out-Cam_2.mp4", "out-hall_left_2.mp4", "out-source.mp4"]
    folder = mp4_targets(tmp_path / "videos", several)
    assert [path.relative_to(tmp_path / "videos").name for path in folder.values()] == [
        "cam.mp4",
        "Cam_2.mp4",
        "hall_left_2.mp4",
        "source.mp4",
    ]


def test_targets_that_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"expected a folder or a file name in .mp4, got .*avi"):
        mp4_targets(tmp_path / "out.avi", {"cam": "a"})
    video = tmp_path / "board.mp4"
    video.write_bytes(b"video")
    with pytest.raises(InvalidInput, match="is a source itself"):
        mp4_targets(video, {"board": str(video)})
    with pytest.raises(InvalidInput, match="is a source itself"):
        mp4_targets(tmp_path, {"board": str(video)})
    assert video.read_bytes() == b"video"
