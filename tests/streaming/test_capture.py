"""Capture without FFmpeg or a network: attempts to connect, the rate limit, what many cost."""

from __future__ import annotations

import sys
import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from stream_parts import indices_in, wait_until
from stream_stubs import StubImage, StubVideo
from tridet import SourceFailed
from tridet.streaming.backoff import Backoff
from tridet.streaming.capture import Capture, RateLimit
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.sources import parse_source
from tridet.streaming.stats import SourceStats, State
from tridet.streaming.video import VideoError

ROOM = 4


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
    queue = FrameQueue("latest", stats)
    capture = Capture(
        source, queue, stats, open_video=open_video, backoff=Backoff(jitter=lambda: 0.0)
    )
    capture.run()
    assert len(indices_in(queue)) <= 1
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
        def frames(self, first_index, clock):
            yield from super().frames(first_index, clock)
            raise ZeroDivisionError("at rtsp://user:secret@host/cam\nhere")

    capture, stats, _ = attempts([Broken(1)])
    assert isinstance(capture.error, SourceFailed)
    assert str(capture.error) == stats.reason
    assert "ZeroDivisionError" in stats.reason
    assert "secret" not in stats.reason and "\n" not in stats.reason


def test_corrupt_pictures_keep_their_place_in_the_count():
    _, stats, _ = attempts([StubVideo(20, image=lambda n: StubImage(n) if n % 5 else None)])
    snapshot = stats.snapshot()
    assert snapshot.frames_in == 20
    assert snapshot.drops == {"corrupt": 4, "newer": 15}


def calls_of(count: int, frames: int) -> Counter[str]:
    """Return how often each function was called to capture from so many stub sources."""
    calls: Counter[str] = Counter()

    def count_call(frame, event, _argument) -> None:
        if event == "call" and "/tridet/streaming/" in frame.f_code.co_filename:
            calls[
                frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
            ] += 1

    now = 0.0
    captures = []
    for number in range(count):
        source = parse_source(f"rtsp://10.0.0.{number}/cam", max_retries=0)
        stats = SourceStats(source.name, clock=lambda: now)
        queue = FrameQueue("latest", stats)
        captures.append(Capture(source, queue, stats, open_video=lambda _: StubVideo(frames)))
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
    assert one["FrameQueue.put" if sys.version_info >= (3, 11) else "put"] == 500
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
            source, FrameQueue("all", stats), stats, open_video=lambda _: StubVideo(10**9)
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
