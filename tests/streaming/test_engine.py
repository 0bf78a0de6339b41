"""The engine: order, window, age, overload, a server that goes and comes, and who pays for whom."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
from stream_stubs import (
    Collector,
    StubDetector,
    StubPicture,
    StubVideo,
    number_of,
    run_engine,
    stub_feed,
)
from tridet import InvalidInput, Overloaded, ServerUnreachable, TimedOut
from tridet.streaming.engine import Engine, Limits
from tridet.streaming.frame_queue import Grabbed
from tridet.streaming.source_worker import Lane, Pace
from tridet.streaming.stats import SourceStats
from tridet.streaming.throttle import Throttle


class Inbox:
    """Frames captured at given seconds of a simulated clock."""

    def __init__(self, *captured_s: float) -> None:
        self.frames = [
            Grabbed("cam", index, None, 0.0, moment, StubPicture(index).pixels)
            for index, moment in enumerate(captured_s)
        ]

    async def get(self) -> Grabbed | None:
        return self.frames.pop(0) if self.frames else None

    def take(self) -> Grabbed | None:
        return None


def run_lane(inbox, detector, clock=lambda: 100.0, **pace):
    settings = {"fresh": True, "in_flight": 2, "max_age_s": 1.0, "timeout_s": 10.0}
    stats = SourceStats("cam")
    collector = Collector()
    lane = Lane(
        "cam",
        inbox,
        stats,
        Pace(**{**settings, "server_wait_s": 60.0, **pace}),
        Throttle(99),
        detect=detector,
        analyse=None,
        deliver=lambda result: collector.put(result, blocking=False),
        clock=clock,
    )
    asyncio.run(lane.run())
    return stats.snapshot(), collector


def test_results_come_in_order_though_answers_do_not():
    async def later_for_even_frames(image, _):
        await asyncio.sleep(0.02 if number_of(image) % 2 == 0 else 0)

    detector = StubDetector(later_for_even_frames)
    _, got = run_engine(detector, [stub_feed("a", StubVideo(40))], in_flight=5)
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
    feeds = [stub_feed("a", video, policy), stub_feed("over", StubVideo(0), policy)]
    run_engine(detector, feeds, max_age_s=60)
    assert detector.most_in_flight == window


def test_a_frame_that_is_too_old_is_not_sent():
    detector = StubDetector()
    stats, got = run_lane(Inbox(98.9, 99.4, 99.0, 100.0), detector)
    assert got.indices == {"cam": [1, 3]}
    assert stats.drops == {"too_old": 2}
    assert [round(timeout_s, 3) for timeout_s in detector.timeouts] == [0.4, 1.0]
    assert [round(result.latency_s, 3) for result in got.results] == [0.6, 0.0]


def test_without_an_age_limit_a_request_has_the_time_limit_of_its_own():
    detector = StubDetector()
    run_lane(Inbox(0.0), detector, fresh=False, max_age_s=float("inf"), timeout_s=7.0)
    assert detector.timeouts == [7.0]


def failing(error, times):
    left = [times]

    async def on_image(*_):
        if left[0]:
            left[0] -= 1
            raise error

    return on_image


@pytest.mark.parametrize(
    ("error", "cause"),
    [(Overloaded("full"), "overloaded"), (ServerUnreachable("gone"), "failed")],
)
def test_a_fresh_source_drops_what_the_server_does_not_take(error, cause):
    detector = StubDetector(failing(error, 3))
    stats, got = run_lane(Inbox(*[100.0] * 8), detector, in_flight=1)
    assert got.indices == {"cam": [3, 4, 5, 6, 7]}
    assert stats.drops == {cause: 3}
    assert detector.calls == 8
    assert stats.trouble == ""


def test_trouble_is_shown_until_the_next_result():
    stats, got = run_lane(Inbox(100.0), StubDetector(failing(ServerUnreachable("gone"), 1)))
    assert got.indices == {}
    assert stats.trouble == "gone"


@pytest.mark.parametrize("error", [Overloaded("full"), ServerUnreachable("gone")])
def test_where_every_frame_counts_it_is_sent_again(error):
    detector = StubDetector(failing(error, 5))
    stats, got = run_lane(
        Inbox(*[0.0] * 8), detector, fresh=False, max_age_s=float("inf"), in_flight=4
    )
    assert got.indices == {"cam": list(range(8))}
    assert stats.drops == {}
    assert detector.calls == 13


def test_a_server_that_stays_away_ends_the_source_and_no_other():
    async def gone_for_the_first(image, _):
        if image[0, 0, 2] == 0 and number_of(image) >= 3 and only["first"]:
            raise ServerUnreachable("no server answers")

    only = {"first": True}
    detector = StubDetector(gone_for_the_first)
    feeds = [stub_feed("long", StubVideo(10)), stub_feed("short", StubVideo(3))]
    engine, got = run_engine(detector, feeds, server_wait_s=0)
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

    feeds = [stub_feed("a", StubVideo(10)), stub_feed("b", StubVideo(4))]
    engine, got = run_engine(StubDetector(refuse_the_fourth), feeds)
    assert got.indices == {"a": [0, 1, 2, 3], "b": [0, 1, 2, 3]}
    assert {name: str(error) for name, error in engine.errors.items()} == {
        "a": "a: frame 4: too dark"
    }


def test_a_mistake_of_ours_reaches_the_caller():
    async def wrong(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_engine(StubDetector(wrong), [stub_feed("a", StubVideo(10))])


def test_nothing_is_captured_without_a_detector():
    async def nobody():
        raise ServerUnreachable("no server answers")

    detector = StubDetector()
    detector.connect = nobody
    feed = stub_feed("a", StubVideo(10))
    with pytest.raises(ServerUnreachable):
        run_engine(detector, [feed])
    assert feed.stats.snapshot().frames_in == 0
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

    feeds = [stub_feed(f"cam{i}", camera(), "latest") for i in range(8)]
    # Eight windows of four would wait for 1.6 s, and every frame would be given up.
    engine, got = run_engine(
        StubDetector(one_at_a_time), feeds, in_flight=4, max_age_s=0.8, duration_s=4
    )
    assert len(got.results) >= served[0] / 2 > 5
    assert all(one.frames_out for one in engine.snapshots())


def test_64_sources_share_a_slow_detector_evenly():
    turn = asyncio.Lock()

    async def one_at_a_time(*_):
        async with turn:
            await asyncio.sleep(0)

    detector = StubDetector(one_at_a_time)
    feeds = [stub_feed(f"cam{i}", StubVideo(30)) for i in range(64)]
    _, got = run_engine(detector, feeds)
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

    class Counted(StubPicture):
        def __init__(self, number):
            super().__init__(number)
            alive.add(self)

    class Video(StubVideo):
        def pictures(self):
            for number in range(self._frames):
                yield Counted(number)

    class SlowOutlet(Collector):
        async def put(self, result, *, blocking):
            await super().put(result, blocking=blocking)
            await asyncio.sleep(0.002)
            if len(self.results) % 20 == 0:
                gc.collect()
                most[0] = max(most[0], len(alive))
                self.results.clear()

    async def run():
        feeds = [stub_feed(f"a{i}", Video(100)) for i in range(4)]
        await Engine(StubDetector(), feeds, Limits(), [SlowOutlet()]).run()

    asyncio.run(asyncio.wait_for(run(), 60))
    # Each of four: 8 in the window, 4 in the mailbox, 2 in the hands of the capture.
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
    feeds = [stub_feed("a", StubVideo(10, hang))]
    engine = Engine(StubDetector(on_image), feeds, Limits(), [got])

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
        StubDetector(), [stub_feed("a", endless, "latest")], duration_s=0.3, max_age_s=60
    )
    (snapshot,) = engine.snapshots()
    assert got.results and snapshot.frames_out == len(got.results)
    assert snapshot.state == "ended"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"in_flight": 0}, "in_flight: expected 1 or more, got 0"),
        ({"max_age_s": 0}, "max_age_s: expected more than 0 seconds, got 0"),
        ({"duration_s": -1.0}, "duration_s: expected more than 0 seconds, got -1.0"),
        ({"server_wait_s": -1}, "server_wait_s: expected 0 seconds or more, got -1"),
    ],
)
def test_limits_that_make_no_sense(limits, text):
    with pytest.raises(InvalidInput) as error:
        Limits(**limits)
    assert str(error.value) == text
