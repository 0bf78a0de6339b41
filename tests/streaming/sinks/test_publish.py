"""``--publish``: to a real RTSP server that records, to a dead, a silent and a strict one."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import av
import pytest
from rtsp_recorder import Recorder
from stream_results import made_up, plain
from tridet import InvalidInput
from tridet.streaming.backoff import Backoff
from tridet.streaming.pacing import Pacer
from tridet.streaming.sinks.publish import PublishSink, publish_targets

pytestmark = pytest.mark.cameras

SOON_S = 60
PASSWORD = "s3cret/pass"
QUOTED = "s3cret%2Fpass"


class Camera:
    """Gives a sink frames at 25 fps until something is so."""

    def __init__(self, sink: PublishSink, size: tuple[int, int] = (320, 240)) -> None:
        self.sink, self.size, self.index = sink, size, 0

    def run(self, count: int) -> None:
        for _ in range(count):
            self.sink.write(
                made_up(self.index, size=self.size, captured_s=time.monotonic(), pts_s=None)
            )
            self.index += 1
            time.sleep(0.04)

    def run_until(self, condition) -> None:
        until_s = time.monotonic() + SOON_S
        while not condition():
            assert time.monotonic() < until_s, "it never came to that"
            self.run(1)


def sink_to(url: str, warnings: list[str], **options) -> PublishSink:
    return PublishSink(url, plain, warn=warnings.append, **options)


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def publishers() -> list[str]:
    """Return the command lines of the processes that this one has started to publish."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_text()
            if parent == os.getpid() and "tridet.streaming.sinks.publisher" in command:
                commands.append(command)
    return commands


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def recorded(recorder: Recorder, name: str, number: int, at_least: int) -> list[av.VideoFrame]:
    """The frames of a recording, once the server has written so many."""
    until_s = time.monotonic() + SOON_S
    while True:
        recordings = recorder.recordings(name)
        if len(recordings) > number and recordings[number].stat().st_size:
            with suppress(av.InvalidDataError):  # it is being written
                frames = frames_of(recordings[number])
                if len(frames) >= at_least:
                    return frames
        assert time.monotonic() < until_s, "the server did not get the frames"
        time.sleep(0.1)


def test_a_server_gets_the_annotated_frames(tmp_path):
    warnings: list[str] = []
    login = ("camera", PASSWORD)
    with Recorder(tmp_path, ("hall",), login=login) as recorder:
        url = recorder.url("hall").replace("//", f"//camera:{QUOTED}@")
        sink = PublishSink(url, lambda result: 255 - result.frame.pixels, warn=warnings.append)
        camera = Camera(sink)
        camera.run_until(lambda: sink.connections)
        frames: list[av.VideoFrame] = []
        while len(frames) < 40:
            camera.run(20)
            frames = recorded(recorder, "hall", 0, 1)
        sink.close()
    levels = [round(frame.to_ndarray(format="bgr24").mean()) for frame in frames]
    indices = [round((255 - level) / 8) for level in levels]
    # The very first told the server what comes; it goes on with the one after it was ready.
    indices = indices if indices[0] else indices[1:]
    assert indices == [(indices[0] + step) % 32 for step in range(len(indices))]
    assert warnings == []
    assert "s3cret" not in sink.name


def test_a_new_resolution_is_announced_anew(tmp_path):
    with Recorder(tmp_path, ("hall",)) as recorder:
        sink = sink_to(recorder.url("hall"), [])
        for connections, size in enumerate([(320, 240), (640, 480)], 1):
            camera = Camera(sink, size)
            camera.run_until(lambda wanted=connections: sink.connections == wanted)
            camera.run(20)
        sink.close()
        widths = [recorded(recorder, "hall", i, 5)[-1].width for i in range(2)]
    assert widths == [320, 640]


def test_it_comes_back_when_the_server_does(tmp_path):
    warnings: list[str] = []
    with Recorder(tmp_path, ("hall",)) as recorder:
        sink = sink_to(recorder.url("hall"), warnings)
        camera = Camera(sink)
        camera.run_until(lambda: sink.connections == 1)
    camera.run_until(lambda: warnings)
    with Recorder(tmp_path, ("hall",), port=recorder.port) as recorder:
        camera.run_until(lambda: sink.connections == 2)
        camera.run(20)
        recorded(recorder, "hall", -1, 5)
        sink.close()
    lost, again = warnings
    assert lost.endswith("; trying again")
    assert again == f"--publish rtsp://127.0.0.1:{recorder.port}/hall: connected again"


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_a_server_that_is_not_there_is_told_once(scheme):
    warnings: list[str] = []
    port = free_port()
    failures: list[float] = []

    def jitter() -> float:
        failures.append(0.5)
        return 0.5

    url = f"{scheme}://camera:{QUOTED}@127.0.0.1:{port}/hall"
    sink = sink_to(url, warnings, backoff=Backoff(jitter=jitter))
    Camera(sink).run_until(lambda: len(failures) >= 3)
    sink.close()
    assert warnings == [
        f"--publish {scheme}://***@127.0.0.1:{port}/hall: Connection refused; trying again"
    ]
    assert sink.connections == 0
    assert sink.discarded > 0


def test_a_wrong_password_is_told_without_it(tmp_path):
    warnings: list[str] = []
    with Recorder(tmp_path, ("hall",), login=("camera", PASSWORD)) as recorder:
        sink = sink_to(recorder.url("hall").replace("//", "//camera:wr0ng@"), warnings)
        Camera(sink).run_until(lambda: warnings)
        sink.close()
    assert "401 Unauthorized" in warnings[0]
    assert "wr0ng" not in warnings[0] + sink.name


def test_a_server_that_says_nothing_never_blocks_a_write(monkeypatch):
    monkeypatch.setattr("tridet.streaming.sinks.link._TIMEOUT_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        warnings: list[str] = []
        sink = sink_to(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/hall", warnings)
        camera = Camera(sink)
        camera.run(1)
        assert len(publishers()) == 1
        camera.run_until(lambda: warnings)
        sink.close()
    assert warnings[0].endswith("no answer within 2 s; trying again")
    assert sink.discarded > 5  # came and went while it waited for the server
    assert publishers() == []


def test_the_password_is_on_no_command_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = sink_to(f"rtsp://camera:{QUOTED}@127.0.0.1:{silent.getsockname()[1]}/hall", [])
        Camera(sink).run(3)
        (command,) = publishers()
        sink.close()
    assert QUOTED not in command


def test_a_file_is_sent_at_its_own_pace():
    slept: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pacer = Pacer(clock=lambda: now[0], sleep=sleep)
    sink = sink_to(f"udp://127.0.0.1:{free_port()}", [], pacer=pacer)
    for index in range(3):
        sink.write(made_up(index))
    now[0] += 10  # the detector was slow: what was missed is not hurried after
    sink.write(made_up(3))
    sink.write(made_up(4))
    sink.close()
    assert slept == pytest.approx([0, 0.04, 0.04, 0, 0.04])


def test_a_url_for_each_source():
    assert publish_targets("rtsp://host/live", ["hall"]) == {"hall": "rtsp://host/live"}
    assert publish_targets("rtsp://u:p@host/{name}/x", ["hall", "gate 2/é"]) == {
        "hall": "rtsp://u:p@host/hall/x",
        "gate 2/é": "rtsp://u:p@host/gate%202%2F%C3%A9/x",
    }


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rtsp://u:s3cret@host/live", "expected {name} in the URL, as there are 2 sources"),
        ("http://u:s3cret@host/live", "expected a URL that begins with one of rtsp://"),
        ("rtsp://[u:s3cret@host", "expected a URL that begins with one of rtsp://"),
        ("out.mp4", "expected a URL that begins with one of rtsp://"),
        ("rtsp:///live", "expected a URL that begins with one of rtsp://"),
    ],
)
def test_urls_that_are_refused(url, message):
    with pytest.raises(InvalidInput) as refused:
        publish_targets(url, ["a", "b"])
    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)
