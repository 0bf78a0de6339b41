"""``tridet.stream``: an iterator of results, blocking or async, that ends, fails and stops well."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time

import grpc
import pytest
import tridet
from fake_triton import FakeTriton, reject
from rtsp_cameras import read_counter
from stream_parts import wait_until, write_video

FRAMES = 40


@pytest.fixture
def fake():
    with FakeTriton() as server:
        yield server


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "line.mp4", FRAMES)


def engine_threads():
    return [
        one for one in threading.enumerate() if one.name in ("tridet engine", "capture line.mp4")
    ]


def test_every_frame_of_a_file_in_order(fake, video):
    with tridet.stream(video, url=fake.url) as results:
        numbers = [read_counter(result.frame.pixels) for result in results]
    assert numbers == list(range(FRAMES))
    (snapshot,) = results.stats()
    assert (snapshot.source, snapshot.state) == ("line.mp4", "ended")
    assert (snapshot.frames_in, snapshot.frames_out, snapshot.drops) == (FRAMES, FRAMES, {})
    assert engine_threads() == []


def test_the_same_with_async_for(fake, video):
    async def run():
        async with tridet.stream([video, video], url=fake.url) as results:
            return [(one.frame.source, one.frame.index) async for one in results]

    got = asyncio.run(run())
    for name in ("line.mp4", "line.mp4-2"):
        assert [index for source, index in got if source == name] == list(range(FRAMES))


def test_thresholds_tracks_and_zones_reach_the_results(fake, video):
    zones = "all=0,0,1,0,1,1,0,1"
    with tridet.stream(video, url=fake.url, conf=0.4, track=True, zones=zones) as results:
        result = next(results)
    assert fake.requests[0].parameters["conf"].double_param == 0.4
    assert result.detections.track_ids is not None
    assert set(result.counts) == {"all"}
    assert sum(result.counts["all"].values()) == len(result.detections)


def test_a_source_that_fails_is_raised_when_the_others_have_ended(fake, video, tmp_path):
    got = []
    with pytest.raises(tridet.SourceFailed, match=r"gone\.mp4.*no such file"):
        for result in tridet.stream([tmp_path / "gone.mp4", video], url=fake.url):
            got.append(result.frame.index)
    assert got == list(range(FRAMES))


def test_no_server_is_raised_at_the_first_step(video):
    with FakeTriton() as gone:
        pass
    results = tridet.stream(video, url=gone.url)
    with pytest.raises(tridet.ServerUnreachable):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    assert engine_threads() == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"sources": []}, "expected one source or more, got none"),
        ({"sources": "gopher://x"}, "unknown scheme 'gopher'"),
        ({"policy": "some"}, "policy: expected 'latest' or 'all', got 'some'"),
        ({"max_age_s": -1}, "max_age_s: expected more than 0 seconds, got -1"),
        ({"zones": "gate"}, "zone: expected NAME=x1,y1"),
        ({"tiles": "two"}, "tiles: expected COLUMNSxROWS"),
        ({"url": "nowhere"}, "url: expected host:port"),
    ],
)
def test_arguments_are_checked_at_once(arguments, text):
    with pytest.raises(tridet.InvalidInput, match=text):
        tridet.stream(**{"sources": "x.mp4", **arguments})


@pytest.mark.parametrize(
    ("missing", "options"),
    [
        ("av", {}),
        ("trackers", {"track": True}),
        ("supervision", {"track": True}),
        ("trackers", {"lines": "mid=0.5,0,0.5,1"}),
    ],
)
def test_a_missing_extra_is_said_at_once(monkeypatch, missing, options):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(tridet.MissingExtra, match=rf"the package {missing}, found none; pip inst"):
        tridet.stream("x.mp4", **options)


def test_an_unknown_class_is_an_error_before_anything_is_captured(fake, video):
    results = tridet.stream(video, url=fake.url, classes=["pink"])
    with pytest.raises(tridet.InvalidInput, match="classes: expected one of blue, green, red"):
        next(results)
    assert results.stats()[0].frames_in == 0


def test_leaving_the_loop_ends_everything(fake, video):
    for _ in tridet.stream([video] * 4, url=fake.url):
        break
    gc.collect()
    wait_until(lambda: engine_threads() == [])


def test_close_from_another_thread_ends_the_loop(fake, video):
    over = threading.Event()
    fake.on_infer = lambda *_: over.wait(30) if fake.calls["ModelInfer"] > 5 else None
    results = tridet.stream(video, url=fake.url, in_flight=1)
    taken = threading.Thread(target=lambda: list(results))
    taken.start()
    try:
        wait_until(lambda: fake.calls["ModelInfer"] > 5)
        results.close()
        taken.join(30)
        assert not taken.is_alive()
    finally:
        over.set()


def test_a_server_that_is_gone_and_back_costs_no_frame(video):
    with FakeTriton() as first:

        def die_at_the_tenth(*_):
            if first.calls["ModelInfer"] == 10:
                threading.Thread(target=first.stop).start()
            if first.calls["ModelInfer"] >= 10:
                time.sleep(0.1)

        first.on_infer = die_at_the_tenth
        results = tridet.stream(video, url=first.url, server_wait_s=60)
        taken = [next(results).frame.index for _ in range(5)]
        wait_until(lambda: bool(results.stats()[0].trouble))
        assert "no server answers" in results.stats()[0].trouble
        with FakeTriton(port=first.port):
            taken += [result.frame.index for result in results]
    assert taken == list(range(FRAMES))
    assert results.stats()[0].trouble == ""


def test_a_server_that_stays_away_is_an_error_that_names_the_frame(fake, video):
    fake.on_infer = reject("Server is stopping", grpc.StatusCode.UNAVAILABLE)
    with (
        pytest.raises(tridet.ServerNotReady, match=r"^line\.mp4: stopped before frame \d+, no"),
        tridet.stream(video, url=fake.url, server_wait_s=0.2) as results,
    ):
        list(results)
