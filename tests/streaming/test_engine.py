"""All sources together: order, window, overload, a server that goes, and who pays for whom."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
from stream_stubs import (
    Collector,
    StubDetector,
    StubImage,
    StubVideo,
    number_of,
    run_engine,
    stub_capture,
)
from tridet import InvalidInput, ServerUnreachable, TimedOut
from tridet.streaming.engine import Engine
from tridet.streaming.limits import Limits


def test_results_come_in_order_though_answers_do_not():
    async def later_for_even_frames(image, _):
        await asyncio.sleep(0.02 if number_of(image) % 2 == 0 else 0)

    detector = StubDetector(later_for_even_frames)
    _, got = run_engine(detector, [stub_capture("a", StubVideo(40))], in_flight=5)
    assert got.indices == {"a": list(range(40))}
    assert 2 <= detector.most_in_flight <= 5
    assert detector.closed


@pytest.mark.parametrize(("policy", "window"), [("latest", 2), ("all", 8)])
def test_the_window_is_bounded(policy, window):
    async def answer_late(*_):
        await asyncio.sleep(0.05)

    detector = StubDetector(answer_late)
    # A camera is as fast as the detector takes its frames, so that none is replaced for long.
    video = StubVideo(200, lambda _: threading.Event().wait(0.001))
    # A second source, so that one could have more than its own share.
    captures = [stub_capture("a", video, policy), stub_capture("over", StubVideo(0), policy)]
    run_engine(detector, captures, max_age_s=60)
    assert detector.most_in_flight == window


def test_a_server_that_stays_away_ends_the_source_and_no_other():
    async def gone_for_the_first(image, _):
        if image[0, 0, 2] == 0 and number_of(image) >= 3 and only["first"]:
            raise ServerUnreachable("no server answers")

    only = {"first": True}
    detector = StubDetector(gone_for_the_first)
    captures = [stub_capture("long", StubVideo(10)), stub_capture("short", StubVideo(3))]
    engine, got = run_engine(detector, captures, server_wait_s=0)
    assert got.indices == {"long": [0, 1, 2], "short": [0, 1, 2]}
    (name, error), *others = engine.errors.items()
    assert (name, others) == ("long", [])
    assert isinstance(error, ServerUnreachable)
    assert str(error).startswith("long: stopped before frame 3, ")
    assert str(error).endswith("no server answers")
    by_name = {one.source: one for one in engine.snapshots()}
    assert by_name["long"].state == "failed"
    assert by_name["short"].state == "ended"


def test_a_frame_that_is_refused_ends_its_source():
    async def refuse_the_fourth(image, _):
        if number_of(image) == 4:
            raise InvalidInput("too dark")

    captures = [stub_capture("a", StubVideo(10)), stub_capture("b", StubVideo(4))]
    engine, got = run_engine(StubDetector(refuse_the_fourth), captures)
    assert got.indices == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}
    assert {name: str(error) for name, error in engine.errors.items()} == {
        "a": "a: frame 4: too dark"
    }


def test_a_mistake_of_ours_reaches_the_caller():
    async def wrong(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_engine(StubDetector(wrong), [stub_capture("a", StubVideo(10))])


def test_nothing_is_captured_without_a_detector():
    async def nobody():
        raise ServerUnreachable("no server answers")

    detector = StubDetector()
    detector.connect = nobody
    capture = stub_capture("a", StubVideo(10))
    with pytest.raises(ServerUnreachable):
        run_engine(detector, [capture])
    assert capture.stats.snapshot().frames_in == 0
    assert detector.closed


def test_a_server_that_is_too_slow_still_answers_in_time():
    """It works on what it has accepted, wanted or not, as a real one does."""
    turn = asyncio.Lock()
    served = [0]

    async def work():
        async with turn:
            await asyncio.sleep(0.05)
            served[0] += 1

    async def one_at_a_time(_image, timeout_s):
        working = asyncio.ensure_future(work())
        try:
            await asyncio.wait_for(asyncio.shield(working), timeout_s)
        except asyncio.TimeoutError:
            raise TimedOut("no answer") from None

    def camera():
        return StubVideo(10**9, lambda _: threading.Event().wait(0.02))

    captures = [stub_capture(f"cam{i}", camera(), "latest") for i in range(8)]
    # Eight windows of four would wait for 1.6 s, and every frame would be given up.
    engine, got = run_engine(
        StubDetector(one_at_a_time), captures, in_flight=4, max_age_s=0.8, duration_s=4
    )
    assert len(got.results) >= served[0] / 2 > 5
    assert all(one.frames_out for one in engine.snapshots())


def test_64_sources_share_a_slow_detector_evenly():
    turn = asyncio.Lock()

    async def one_at_a_time(*_):
        async with turn:
            await asyncio.sleep(0)

    detector = StubDetector(one_at_a_time)
    captures = [stub_capture(f"cam{i}", StubVideo(30)) for i in range(64)]
    _, got = run_engine(detector, captures)
    assert got.indices == {f"cam{i}": list(range(30)) for i in range(64)}
    assert detector.calls == 64 * 30
    # At half time nobody is further ahead than the frames that a source may have under way.
    seen = dict.fromkeys(got.indices, 0)
    for result in got.results[: 64 * 15]:
        seen[result.frame.source] += 1
    assert max(seen.values()) - min(seen.values()) <= 2 * 8


def test_frames_that_nobody_takes_do_not_pile_up():
    alive = weakref.WeakSet()
    most = [0]

    class Counted(StubImage):
        def __init__(self, number):
            super().__init__(number)
            alive.add(self)

    class SlowSink(Collector):
        async def put(self, result, policy):
            await super().put(result, policy)
            await asyncio.sleep(0.002)
            if len(self.results) % 20 == 0:
                gc.collect()
                most[0] = max(most[0], len(alive))
                self.results.clear()

    async def run():
        captures = [stub_capture(f"a{i}", StubVideo(100, image=Counted)) for i in range(4)]
        await Engine(StubDetector(), captures, Limits(), [SlowSink()]).run()

    asyncio.run(asyncio.wait_for(run(), 60))
    # Each of four: 8 in the window, 4 in the queue, 2 in the hands of the capture.
    assert 4 < most[0] <= 4 * (8 + 4 + 2)


@pytest.mark.parametrize("stuck", ["camera", "detector"])
def test_stop_does_not_wait_for_what_hangs(stuck):
    over, entered = threading.Event(), threading.Event()

    def hang(number):
        if number == 3 and stuck == "camera":
            entered.set()
            over.wait(60)

    async def on_image(image, _):
        if number_of(image) == 2 and stuck == "detector":
            entered.set()
            await asyncio.sleep(60)

    got = Collector()
    captures = [stub_capture("a", StubVideo(10, hang))]
    engine = Engine(StubDetector(on_image), captures, Limits(), [got])

    async def run():
        running = asyncio.create_task(engine.run())
        await asyncio.to_thread(entered.wait, 30)
        while len(got.results) < (3 if stuck == "camera" else 2):
            await asyncio.sleep(0.01)
        engine.stop()
        await asyncio.wait_for(running, 30)

    try:
        asyncio.run(run())
    finally:
        over.set()
    assert got.indices["a"] == ([0, 1, 2] if stuck == "camera" else [0, 1])


def test_the_duration_ends_an_endless_source():
    endless = StubVideo(10**9, lambda _: threading.Event().wait(0.005))
    engine, got = run_engine(
        StubDetector(), [stub_capture("a", endless, "latest")], duration_s=0.3, max_age_s=60
    )
    (snapshot,) = engine.snapshots()
    assert got.results and snapshot.frames_out == len(got.results)
    assert snapshot.state == "ended"
