"""The threads that feed sinks, what sinks share, and JSON lines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from stream_results import made_up
from tridet import SinkFailed
from tridet.streaming.frames import Event
from tridet.streaming.sinks.base import SinkDone, SinkThread
from tridet.streaming.sinks.jsonl import jsonl_sink
from tridet.streaming.sinks.picture import SharedDraw
from tridet.streaming.sinks.timeline import Timeline

SOON_S = 20  # for what happens at once unless it is broken


class Slow:
    """Keeps what it gets, once it is let."""

    name = "slow"

    def __init__(self) -> None:
        self.got: list[tuple[str, int]] = []
        self.entered = threading.Event()
        self.go = threading.Event()
        self.closed = 0

    def write(self, result) -> None:
        self.entered.set()
        assert self.go.wait(SOON_S)
        self.got.append((result.frame.source, result.frame.index))

    def close(self) -> None:
        self.closed += 1


class Failing(Slow):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, _result) -> None:
        raise self.error


def started(sink, **options) -> SinkThread:
    thread = SinkThread(sink, **options)
    thread.start()
    return thread


def finish(thread: SinkThread) -> None:
    thread.close()
    assert thread.join(SOON_S)


async def put(thread: SinkThread, results, *, blocking: bool) -> None:
    for result in results:
        await thread.put(result, blocking=blocking)


async def put_while_busy(sink: Slow, thread: SinkThread, results, *, blocking: bool) -> None:
    """Give the first result alone, so that the others find the queue empty and the sink busy."""
    await thread.put(results[0], blocking=blocking)
    await asyncio.to_thread(sink.entered.wait, SOON_S)
    await put(thread, results[1:], blocking=blocking)


def test_a_slow_sink_gets_the_newest_of_a_camera_and_the_others_are_counted():
    sink = Slow()
    thread = started(sink, capacity=3)
    results = [made_up(i) for i in range(10)]
    asyncio.run(put_while_busy(sink, thread, results, blocking=False))
    sink.go.set()
    finish(thread)
    assert sink.got == [("cam", i) for i in (0, 7, 8, 9)]
    assert thread.drops == {"cam": 6}
    assert (thread.written, sink.closed, thread.error) == (4, 1, None)


def test_a_slow_sink_makes_a_file_wait_and_loses_nothing():
    sink = Slow()
    thread = started(sink, capacity=3)

    async def main() -> bool:
        results = [made_up(i) for i in range(50)]
        putting = asyncio.create_task(put_while_busy(sink, thread, results, blocking=True))
        await asyncio.to_thread(sink.entered.wait, SOON_S)
        for _ in range(100):
            await asyncio.sleep(0)
        waited = not putting.done()
        sink.go.set()
        await putting
        return waited

    assert asyncio.run(main())
    finish(thread)
    assert sink.got == [("cam", i) for i in range(50)]
    assert thread.drops == {}


def test_a_camera_does_not_wait_behind_a_file_nor_push_it_out():
    sink = Slow()
    thread = started(sink, capacity=2)

    async def main() -> None:
        await put_while_busy(sink, thread, [made_up(i) for i in range(3)], blocking=True)
        await thread.put(made_up(0, source="live"), blocking=False)
        sink.go.set()

    asyncio.run(main())
    finish(thread)
    assert sink.got == [("cam", 0), ("cam", 1), ("cam", 2)]
    assert thread.drops == {"live": 1}


def test_many_files_that_wait_all_get_their_turn():
    sink = Slow()
    thread = started(sink, capacity=2)

    async def main() -> None:
        names = [f"file{i}" for i in range(20)]
        files = [
            asyncio.create_task(
                put(thread, [made_up(i, source=name) for i in range(10)], blocking=True)
            )
            for name in names
        ]
        await asyncio.sleep(0)
        files[5].cancel()
        sink.go.set()
        done = await asyncio.wait_for(asyncio.gather(*files, return_exceptions=True), SOON_S)
        assert [type(end) for end in done].count(asyncio.CancelledError) == 1

    asyncio.run(main())
    finish(thread)
    for i in set(range(20)) - {5}:
        assert [n for name, n in sink.got if name == f"file{i}"] == list(range(10))


def test_who_gives_up_when_called_lets_the_next_one_go():
    sink = Slow()
    thread = started(sink, capacity=1)

    async def main() -> None:
        await put_while_busy(sink, thread, [made_up(0), made_up(1)], blocking=True)
        first, second = (asyncio.create_task(thread.put(made_up(i), blocking=True)) for i in (2, 3))
        await asyncio.sleep(0)
        sink.go.set()
        while len(sink.got) < 2:
            time.sleep(0.01)  # the loop stands still, so that the call is there but not answered
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, SOON_S)
        assert first.cancelled()

    asyncio.run(main())
    finish(thread)
    assert sink.got == [("cam", 0), ("cam", 1), ("cam", 3)]


def test_a_sink_takes_only_the_results_of_its_sources():
    sink = Slow()
    sink.go.set()
    thread = started(sink, sources=["a"])
    results = [made_up(i, source="ab"[i % 2]) for i in range(4)]
    asyncio.run(put(thread, results, blocking=True))
    finish(thread)
    assert sink.got == [("a", 0), ("a", 2)]
    assert thread.drops == {}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "slow: No space left on device"),
        (SinkFailed("--save x.mp4: broken"), "--save x.mp4: broken"),
        (ZeroDivisionError("a mistake of ours"), "slow: a mistake of ours"),
    ],
)
def test_a_failure_is_kept_and_told_once_and_blocks_nobody(error, message):
    ends = []
    sink = Failing(error)
    thread = started(sink, capacity=1, on_end=ends.append)
    results = [made_up(i) for i in range(30)]
    asyncio.run(asyncio.wait_for(put(thread, results, blocking=True), SOON_S))
    assert thread.join(SOON_S)
    assert ends == [thread]
    assert isinstance(thread.error, SinkFailed)
    assert str(thread.error) == message
    assert sink.closed == 1
    assert thread.written == 0
    assert thread.drops["cam"] >= 28


def test_a_sink_that_nobody_reads_is_done_and_not_failed():
    ends = []
    thread = started(Failing(SinkDone()), on_end=ends.append)
    asyncio.run(thread.put(made_up(), blocking=False))
    assert thread.join(SOON_S)
    assert (thread.done, thread.error, ends) == (True, None, [thread])


def test_a_picture_is_drawn_once_for_all_sinks_and_forgotten_with_its_result():
    drawn = []

    def draw(result):
        drawn.append(result.frame.index)
        return result.frame.pixels + 1

    shared = SharedDraw(draw)
    result = made_up(3)
    ready = threading.Barrier(8)
    pictures = []

    def ask(asked) -> None:
        ready.wait()
        pictures.append(shared(asked))

    threads = [threading.Thread(target=ask, args=(result,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while threads:
        threads.pop().join()
    del thread
    assert drawn == [3]
    assert all(picture is pictures[0] for picture in pictures)
    with pytest.raises(ValueError, match="read-only"):
        pictures[0][0] = 0
    result.frame.pixels[0] = 0  # the frame itself stays as writable as it was
    del result
    assert len(shared._pictures) == 0


def test_times_are_the_sources_own_where_they_make_sense():
    timeline = Timeline()
    pts = [5.0, 5.5, 6.0, 0.1, 0.2, 900.0, 900.25, None, 900.5]
    times = [
        timeline.at(replace(made_up(i, captured_s=2.0 * i).frame, pts_s=pts_s))
        for i, pts_s in enumerate(pts)
    ]
    # Back to 0.1, ahead to 900 and without any, the step is that of the capture: 2 s.
    assert times == pytest.approx([0, 0.5, 1.0, 3.0, 3.1, 5.1, 5.35, 7.35, 9.35])
    same = made_up(1, captured_s=7.0).frame
    assert timeline.at(same) < timeline.at(same) < timeline.at(same)


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
    sink.write(replace(result, frame=replace(result.frame, pts_s=None)))
    sink.close()
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["pts_s"] is None


def test_jsonl_on_a_full_disk_leaves_whole_lines(tmp_path):
    # A limit on file sizes ends a write as a full disk does: after a part of the line.
    code = """
import resource, signal, sys
from stream_results import made_up
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
from stream_results import made_up
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
        env={"PYTHONPATH": "tests"},
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
        env={"PYTHONPATH": "tests"},
    )
