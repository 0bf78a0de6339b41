"""One source: the age of its frames, and what the server does not take."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from stream_stubs import (
    Collector,
    StubDetector,
    StubImage,
)
from tridet import Overloaded, ServerUnreachable
from tridet.streaming.limits import Limits
from tridet.streaming.source_worker import SourceWorker
from tridet.streaming.sources import parse_source
from tridet.streaming.stats import SourceStats
from tridet.streaming.throttle import Throttle
from tridet.streaming.video import DecodedFrame


class Queue:
    """Frames captured at given seconds of a simulated clock."""

    def __init__(self, *captured_s):
        self.frames = [
            DecodedFrame("cam", index, 0.0, moment, moment, StubImage(index))
            for index, moment in enumerate(captured_s)
        ]

    async def get(self):
        return self.frames.pop(0) if self.frames else None

    def take(self):
        return None


def run_worker(queue, detector, policy="latest", **limits):
    """Let one worker, whose clock stands at 100 s, take the queue to its end."""
    source = parse_source("cam.mp4", name="cam", policy=policy)
    stats = SourceStats("cam")
    collector = Collector()
    worker = SourceWorker(
        SimpleNamespace(source=source, queue=queue, stats=stats),
        Limits(**{"in_flight": 2, **limits}),
        Throttle(99),
        detector=detector,
        analyse=None,
        deliver=lambda result: collector.put(result, policy),
        clock=lambda: 100.0,
    )
    asyncio.run(worker.run())
    return stats.snapshot(), collector


def test_a_frame_that_is_too_old_is_not_sent():
    detector = StubDetector()
    stats, got = run_worker(Queue(98.9, 99.4, 99.0, 100.0), detector)
    assert got.indices == {"cam": [1, 3]}
    assert stats.drops == {"too_old": 2}
    assert [round(timeout_s, 3) for timeout_s in detector.timeouts] == [0.4, 1.0]
    assert [round(result.latency_s, 3) for result in got.results] == [0.6, 0.0]


def test_without_an_age_limit_a_request_has_the_time_limit_of_its_own():
    detector = StubDetector()
    run_worker(Queue(0.0), detector, "all", timeout_s=7.0)
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
    stats, got = run_worker(Queue(*[100.0] * 8), detector, in_flight=1)
    assert got.indices == {"cam": [3, 4, 5, 6, 7]}
    assert stats.drops == {cause: 3}
    assert detector.calls == 8
    assert stats.trouble == ""


def test_trouble_is_shown_until_the_next_result():
    stats, got = run_worker(Queue(100.0), StubDetector(failing(ServerUnreachable("gone"), 1)))
    assert got.indices == {}
    assert stats.trouble == "gone"


@pytest.mark.parametrize("error", [Overloaded("full"), ServerUnreachable("gone")])
def test_where_every_frame_counts_it_is_sent_again(error):
    detector = StubDetector(failing(error, 5))
    stats, got = run_worker(Queue(*[0.0] * 8), detector, "all", in_flight=4)
    assert got.indices == {"cam": list(range(8))}
    assert stats.drops == {}
    assert detector.calls == 13
