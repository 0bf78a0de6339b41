"""The threads that feed sinks: who waits, who is dropped, and how a sink ends."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from stream_results import made_up
from tridet import SinkFailed
from tridet.streaming.sinks.base import SinkDone, SinkThread

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


async def put(thread: SinkThread, results, policy: str) -> None:
    for result in results:
        await thread.put(result, policy=policy)


async def put_while_busy(sink: Slow, thread: SinkThread, results, policy: str) -> None:
    """Give the first result alone, so that the others find the queue empty and the sink busy."""
    await thread.put(results[0], policy=policy)
    await asyncio.to_thread(sink.entered.wait, SOON_S)
    await put(thread, results[1:], policy=policy)


def test_a_slow_sink_gets_the_newest_of_a_camera_and_the_others_are_counted():
    sink = Slow()
    thread = started(sink, capacity=3)
    results = [made_up(i) for i in range(10)]
    asyncio.run(put_while_busy(sink, thread, results, policy="latest"))
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
        putting = asyncio.create_task(put_while_busy(sink, thread, results, policy="all"))
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
        await put_while_busy(sink, thread, [made_up(i) for i in range(3)], policy="all")
        await thread.put(made_up(0, source="live"), policy="latest")
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
                put(thread, [made_up(i, source=name) for i in range(10)], policy="all")
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
        await put_while_busy(sink, thread, [made_up(0), made_up(1)], policy="all")
        first, second = (asyncio.create_task(thread.put(made_up(i), policy="all")) for i in (2, 3))
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
    asyncio.run(put(thread, results, policy="all"))
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
    asyncio.run(asyncio.wait_for(put(thread, results, policy="all"), SOON_S))
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
    asyncio.run(thread.put(made_up(), policy="latest"))
    assert thread.join(SOON_S)
    assert (thread.done, thread.error, ends) == (True, None, [thread])
