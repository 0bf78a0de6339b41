"""Between a thread and the event loop: which frames come through, who waits, how it ends."""

from __future__ import annotations

import asyncio
import threading

from hypothesis import given
from hypothesis import strategies as st
from stream_parts import indices_in, wait_until
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.stats import SourceStats
from tridet.streaming.video import DecodedFrame

ROOM = 4


def decoded(index: int) -> DecodedFrame:
    return DecodedFrame("cam", index, 0.0, 0.0, index / 25, None)


@given(st.lists(st.sampled_from(["put", "get"]), max_size=60))
def test_latest_gives_the_newest_once_and_counts_the_others(steps):
    stats = SourceStats("cam")
    queue = FrameQueue("latest", stats)
    got: list[int] = []
    put, fresh = 0, False

    async def run() -> None:
        nonlocal put, fresh
        for step in steps:
            if step == "put":
                assert queue.put(decoded(put))
                put, fresh = put + 1, True
            elif fresh:
                item = await queue.get()
                assert item is not None and item.index == put - 1
                got.append(item.index)
                fresh = False

    asyncio.run(run())
    queue.close()
    got += indices_in(queue)
    assert got == sorted(set(got))
    assert len(got) + stats.snapshot().drops.get("newer", 0) == put


@given(st.integers(0, 40))
def test_all_gives_every_frame_in_order(count):
    queue = FrameQueue("all", SourceStats("cam"))

    def fill() -> None:
        for index in range(count):
            queue.put(decoded(index))
        queue.close()

    thread = threading.Thread(target=fill)
    thread.start()
    assert indices_in(queue) == list(range(count))
    thread.join()


def test_all_waits_for_room_until_it_is_closed():
    queue = FrameQueue("all", SourceStats("cam"))
    taken: list[bool] = []
    thread = threading.Thread(
        target=lambda: taken.extend(queue.put(decoded(index)) for index in range(ROOM + 1))
    )
    thread.start()
    wait_until(lambda: len(taken) == ROOM)
    queue.close()
    thread.join(10)
    assert taken == [True] * ROOM + [False]
    assert indices_in(queue) == list(range(ROOM))


def test_a_reader_waits_and_is_woken_by_a_frame_or_the_end():
    queue = FrameQueue("latest", SourceStats("cam"))

    async def run() -> None:
        reader = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(queue.put, decoded(7))
        item = await reader
        assert item is not None and item.index == 7
        reader = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(queue.close)
        assert await reader is None

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_cancelled_reader_takes_no_frame_along():
    queue = FrameQueue("latest", SourceStats("cam"))
    complaints: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        reader = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        reader.cancel()
        queue.put(decoded(3))
        item = await queue.get()
        assert item is not None and item.index == 3
        await asyncio.sleep(0)  # what woke the cancelled reader runs now

    asyncio.run(asyncio.wait_for(run(), 10))
    assert complaints == []


def test_a_loop_that_is_gone_does_not_hurt_the_capture():
    queue = FrameQueue("latest", SourceStats("cam"))
    loop = asyncio.new_event_loop()
    reader = loop.create_task(queue.get())
    loop.call_soon(loop.stop)
    loop.run_forever()
    reader.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert queue.put(decoded(0))
    queue.close()
    assert indices_in(queue) == [0]


def test_closing_while_many_put_and_one_gets():
    for _ in range(30):
        queue = FrameQueue("all", SourceStats("cam"))
        accepted: list[int] = []

        def fill(queue=queue, accepted=accepted) -> None:
            index = 0
            while queue.put(decoded(index)):
                accepted.append(index)
                index += 1

        thread = threading.Thread(target=fill)
        thread.start()
        threading.Timer(0.002, queue.close).start()
        assert indices_in(queue) == list(range(len(accepted)))
        thread.join(10)
        assert not thread.is_alive()
