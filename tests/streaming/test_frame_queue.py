"""The mailbox, the rate limit, the backoff and the states, without FFmpeg or a network."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_parts import StubVideo, wait_until
from tridet import SourceFailed
from tridet.streaming.backoff import Backoff
from tridet.streaming.capture import Capture
from tridet.streaming.frame_queue import Grabbed, Mailbox
from tridet.streaming.rate import RateLimit
from tridet.streaming.sources import parse_source
from tridet.streaming.stats import SourceStats, State
from tridet.streaming.video import VideoError

ROOM = 4


def grabbed(index: int) -> Grabbed:
    return Grabbed("cam", index, None, 0.0, 0.0, lambda: pytest.fail("converted"))


def drain(mailbox: Mailbox) -> list[int]:
    async def drain() -> list[int]:
        indices = []
        while (item := await mailbox.get()) is not None:
            indices.append(item.index)
        return indices

    return asyncio.run(drain())


@given(st.lists(st.sampled_from(["put", "get"]), max_size=60))
def test_latest_gives_the_newest_once_and_counts_the_others(steps):
    stats = SourceStats("cam")
    mailbox = Mailbox("latest", stats)
    got: list[int] = []
    put, fresh = 0, False

    async def run() -> None:
        nonlocal put, fresh
        for step in steps:
            if step == "put":
                assert mailbox.put(grabbed(put))
                put, fresh = put + 1, True
            elif fresh:
                item = await mailbox.get()
                assert item is not None and item.index == put - 1
                got.append(item.index)
                fresh = False

    asyncio.run(run())
    mailbox.close()
    got += drain(mailbox)
    assert got == sorted(set(got))
    assert len(got) + stats.snapshot().drops.get("newer", 0) == put


@given(st.integers(0, 40))
def test_all_gives_every_frame_in_order(count):
    mailbox = Mailbox("all", SourceStats("cam"))

    def fill() -> None:
        for index in range(count):
            mailbox.put(grabbed(index))
        mailbox.close()

    thread = threading.Thread(target=fill)
    thread.start()
    assert drain(mailbox) == list(range(count))
    thread.join()


def test_all_waits_for_room_until_it_is_closed():
    mailbox = Mailbox("all", SourceStats("cam"))
    taken: list[bool] = []
    thread = threading.Thread(
        target=lambda: taken.extend(mailbox.put(grabbed(index)) for index in range(ROOM + 1))
    )
    thread.start()
    wait_until(lambda: len(taken) == ROOM)
    mailbox.close()
    thread.join(10)
    assert taken == [True] * ROOM + [False]
    assert drain(mailbox) == list(range(ROOM))


def test_a_reader_waits_and_is_woken_by_a_frame_or_the_end():
    mailbox = Mailbox("latest", SourceStats("cam"))

    async def run() -> None:
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(mailbox.put, grabbed(7))
        item = await reader
        assert item is not None and item.index == 7
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(mailbox.close)
        assert await reader is None

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_cancelled_reader_takes_no_frame_along():
    mailbox = Mailbox("latest", SourceStats("cam"))
    complaints: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        reader.cancel()
        mailbox.put(grabbed(3))
        item = await mailbox.get()
        assert item is not None and item.index == 3
        await asyncio.sleep(0)  # what woke the cancelled reader runs now

    asyncio.run(asyncio.wait_for(run(), 10))
    assert complaints == []


def test_a_loop_that_is_gone_does_not_hurt_the_capture():
    mailbox = Mailbox("latest", SourceStats("cam"))
    loop = asyncio.new_event_loop()
    reader = loop.create_task(mailbox.get())
    loop.call_soon(loop.stop)
    loop.run_forever()
    reader.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert mailbox.put(grabbed(0))
    mailbox.close()
    assert drain(mailbox) == [0]


def test_closing_while_many_put_and_one_gets():
    for _ in range(30):
        mailbox = Mailbox("all", SourceStats("cam"))
        accepted: list[int] = []

        def fill(mailbox=mailbox, accepted=accepted) -> None:
            index = 0
            while mailbox.put(grabbed(index)):
                accepted.append(index)
                index += 1

        thread = threading.Thread(target=fill)
        thread.start()
        threading.Timer(0.002, mailbox.close).start()
        assert drain(mailbox) == list(range(len(accepted)))
        thread.join(10)
        assert not thread.is_alive()


@given(
    st.floats(1, 60), st.floats(1, 60), st.lists(st.floats(-0.004, 0.004), min_size=90, max_size=90)
)
def test_no_more_pass_than_the_rate_allows(fps, max_fps, jitters):
    limit = RateLimit(max_fps)
    moments = sorted(number / fps + jitter for number, jitter in enumerate(jitters))
    passed = [moment for moment in moments if limit.admits(moment)]
    seconds = moments[-1] - moments[0]
    assert len(passed) <= seconds * max_fps + 2
    # Neither are more dropped than needed: of a slower source, none.
    if fps < 0.5 * max_fps:
        assert passed == moments


def test_the_rate_starts_over_after_a_jump():
    limit = RateLimit(10)
    assert [limit.admits(moment) for moment in (0, 0.04, 0.08, 0.12)] == [True, False, False, True]
    assert limit.admits(1000.0)
    assert limit.admits(0.0)
    assert not limit.admits(0.05)


def test_delays_double_up_to_the_cap_and_start_over_after_a_good_time():
    backoff = Backoff(0.5, 30, good_after_s=10, jitter=lambda: 1.0)
    assert [backoff.next_delay_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.held(9.9)
    assert backoff.next_delay_s() == 30
    backoff.held(10)
    assert backoff.next_delay_s() == 0.5
    assert Backoff(jitter=lambda: 0.25).next_delay_s() == 0.125


def test_a_stall_is_seen_when_it_lasts():
    now = 100.0
    stats = SourceStats("cam", clock=lambda: now)
    stats.enter(State.LIVE)
    stats.expect_within(2)
    now = 101.9
    assert stats.state is State.LIVE
    now = 103.2
    assert (stats.state, stats.reason) == (State.STALLED, "no frame for 3 s")
    assert stats.snapshot().state == "stalled"
    stats.received()
    assert (stats.state, stats.reason) == (State.LIVE, "")
    # Between two frames that are handed over nothing is expected: the reader may be the slow one.
    now = 200.0
    assert stats.state is State.LIVE


def attempts(outcomes: list[StubVideo | str], **options) -> tuple[Capture, SourceStats, int]:
    """Run a capture to its end; each attempt to connect gives a video, or a reason that failed."""
    left = list(outcomes)

    def open_video(_source) -> StubVideo:
        if not left:
            capture.stop()
            raise VideoError("no more attempts")
        outcome = left.pop(0)
        if isinstance(outcome, str):
            raise VideoError(outcome)
        return outcome

    source = parse_source("rtsp://user:secret@host/cam", **options)
    stats = SourceStats(source.name)
    mailbox = Mailbox("latest", stats)
    capture = Capture(
        source, mailbox, stats, open_video=open_video, backoff=Backoff(jitter=lambda: 0.0)
    )
    capture.run()
    assert len(drain(mailbox)) <= 1
    return capture, stats, len(outcomes) - len(left)


def test_a_live_source_is_connected_again_and_again():
    capture, stats, used = attempts(["gone", StubVideo(3), "gone", "gone", StubVideo(4), "gone"])
    assert (used, capture.error) == (6, None)
    assert stats.snapshot().frames_in == 7
    assert stats.snapshot().reconnects == 2
    assert stats.state is State.ENDED


def test_retries_count_in_a_row():
    video = StubVideo(2)
    capture, stats, used = attempts(["a", "b", video, "c", "d", "e", video], max_retries=2)
    # The loss of the connection itself is the first of the failures after the video.
    assert used == 5
    assert isinstance(capture.error, SourceFailed)
    assert str(capture.error) == "rtsp://***@host/cam: d; given up after 2 retries"
    assert stats.state is State.FAILED


def test_an_error_that_nobody_expected_reaches_the_caller():
    class Broken(StubVideo):
        def pictures(self):
            yield from super().pictures()
            raise ZeroDivisionError("at rtsp://user:secret@host/cam\nhere")

    capture, stats, _ = attempts([Broken(1)])
    assert isinstance(capture.error, SourceFailed)
    assert str(capture.error) == stats.reason
    assert "ZeroDivisionError" in stats.reason
    assert "secret" not in stats.reason and "\n" not in stats.reason


def test_corrupt_pictures_keep_their_place_in_the_count():
    _, stats, _ = attempts([StubVideo(20, corrupt_every=5)])
    snapshot = stats.snapshot()
    assert snapshot.frames_in == 20
    assert snapshot.drops == {"corrupt": 4, "newer": 15}


def calls_of(count: int, frames: int) -> Counter[str]:
    """Return how often each function was called to capture from so many stub sources."""
    calls: Counter[str] = Counter()

    def count_call(frame, event, _argument) -> None:
        if event == "call" and "_stream" in frame.f_code.co_filename:
            calls[
                frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
            ] += 1

    now = 0.0
    captures = []
    for number in range(count):
        source = parse_source(f"rtsp://10.0.0.{number}/cam", max_retries=0)
        stats = SourceStats(source.name, clock=lambda: now)
        mailbox = Mailbox("latest", stats)
        captures.append(Capture(source, mailbox, stats, open_video=lambda _: StubVideo(frames)))
    sys.setprofile(count_call)
    try:
        for capture in captures:
            now += 0.04
            capture.run()
    finally:
        sys.setprofile(None)
    return calls


def test_64_sources_cost_64_times_one():
    one, many = calls_of(1, 500), calls_of(64, 500)
    assert one["Mailbox.put" if sys.version_info >= (3, 11) else "put"] == 500
    assert many == Counter({name: 64 * count for name, count in one.items()})
    # And twice the frames cost twice as much, but for what is done once a connection.
    long = calls_of(1, 1000)
    assert sum(long.values()) < 2.01 * sum(one.values())


def test_stopping_many_at_once_ends_them_all():
    captures = []
    for number in range(64):
        source = parse_source(f"rtsp://10.0.0.{number}/cam", policy="all")
        stats = SourceStats(source.name)
        capture = Capture(
            source, Mailbox("all", stats), stats, open_video=lambda _: StubVideo(10**9)
        )
        capture.start()
        captures.append((capture, stats))
    for _, stats in captures:
        wait_until(lambda stats=stats: stats.snapshot().frames_in > ROOM)
    for capture, _ in captures:
        capture.stop()
    deadline = time.monotonic() + 20
    assert all(capture.join(max(0, deadline - time.monotonic())) for capture, _ in captures)
    assert {stats.state for _, stats in captures} == {State.ENDED}
