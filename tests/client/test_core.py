"""Every way in which a call can fail: its class, its text, and whether it was tried again."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import threading
from pathlib import Path

import grpc
import pytest
from failures import IMAGE, failure
from fake_triton import FakeTriton, reject
from tridet import (
    AsyncDetector,
    Detector,
    InvalidInput,
    ModelUnknown,
    Overloaded,
    ServerFailed,
    ServerNotReady,
    ServerUnreachable,
    TimedOut,
    TridetError,
    core,
)

QUEUE_FULL = "in ensemble 'pcb', [request id: 7] Exceeds maximum queue size"


def test_nobody_listens():
    with FakeTriton() as gone:
        pass
    error = failure(gone)
    assert type(error) is ServerUnreachable
    assert gone.url in str(error) and "8001" in str(error)


def test_the_server_goes_away(fake):
    with Detector(fake.url, "pcb") as detector:
        detector(IMAGE)
        fake.stop()
        with pytest.raises(ServerUnreachable, match=fake.url):
            detector(IMAGE)


def test_the_server_goes_away_during_a_request(fake):
    entered, over = threading.Event(), threading.Event()

    def hang(*_):
        entered.set()
        over.wait(30)

    fake.on_infer = hang
    stopper = threading.Thread(target=lambda: (entered.wait(30), fake.stop()))
    stopper.start()
    try:
        with Detector(fake.url, "pcb") as detector, pytest.raises(TridetError) as caught:
            detector(IMAGE)
    finally:
        over.set()
        stopper.join()
    assert isinstance(caught.value, ServerUnreachable)


def test_the_server_is_starting(fake):
    fake.on_infer = reject("'pcb' version 1 is not at ready state", grpc.StatusCode.UNAVAILABLE)
    error = failure(fake)
    assert type(error) is ServerNotReady
    assert "not at ready state" in str(error)


def test_model_unknown_lists_the_detectors(fake):
    error = failure(fake, model="boards")
    assert type(error) is ModelUnknown
    assert "no model 'boards'" in str(error)
    assert str(error).endswith("it serves pcb")


def test_the_servers_reason_for_a_refusal_is_shown_without_its_decoration(fake):
    fake.on_infer = reject(
        "in ensemble 'pcb', Failed to process the request(s) for model 'preprocess_640_0_0', "
        "message: TritonModelException: over the pixel limit: expected at most 5 pixels\n\nAt:\n"
        "  /models/preprocess_640/1/model.py(77): execute\n"
    )
    error = failure(fake)
    assert type(error) is InvalidInput
    assert str(error).endswith(
        "refused the request: over the pixel limit: expected at most 5 pixels"
    )
    assert fake.calls["ModelInfer"] == 1


def test_invalid_argument_is_not_retried(fake):
    fake.on_infer = reject("conf: expected 0 to 1")
    assert type(failure(fake, retries=5)) is InvalidInput
    assert fake.calls["ModelInfer"] == 1


def test_other_failures_are_not_retried(fake):
    fake.on_infer = reject("CUDA error", grpc.StatusCode.INTERNAL)
    error = failure(fake, retries=5)
    assert type(error) is ServerFailed
    assert "INTERNAL" in str(error) and "CUDA error" in str(error)
    assert fake.calls["ModelInfer"] == 1


def test_a_passing_overload_is_retried(fake):
    fake.on_infer = reject(QUEUE_FULL, grpc.StatusCode.UNAVAILABLE, times=2)
    with Detector(fake.url, "pcb") as detector:
        assert len(detector(IMAGE)) == 2
    assert fake.calls["ModelInfer"] == 3


@pytest.mark.parametrize("text", [QUEUE_FULL, "in ensemble 'pcb', Request timeout expired"])
def test_a_lasting_overload_differs_from_an_unreachable_server(fake, text):
    fake.on_infer = reject(text, grpc.StatusCode.UNAVAILABLE)
    error = failure(fake, retries=1)
    assert type(error) is Overloaded
    assert "overloaded" in str(error)
    assert fake.calls["ModelInfer"] == 2
    assert fake.calls["ServerReady"] == 0


def test_retries_can_be_switched_off(fake):
    fake.on_infer = reject(QUEUE_FULL, grpc.StatusCode.UNAVAILABLE, times=1)
    assert type(failure(fake, retries=0)) is Overloaded
    assert fake.calls["ModelInfer"] == 1


def test_retries_end_with_the_timeout(fake):
    fake.on_infer = reject(QUEUE_FULL, grpc.StatusCode.UNAVAILABLE)
    assert type(failure(fake, retries=1000, timeout_s=1.0)) is Overloaded
    assert fake.calls["ModelInfer"] < 20


def test_the_remaining_time_is_what_a_retry_announces(fake):
    fake.on_infer = reject(QUEUE_FULL, grpc.StatusCode.UNAVAILABLE, times=2)
    with Detector(fake.url, "pcb", timeout_s=5) as detector:
        detector(IMAGE)
    timeouts = [request.parameters["timeout"].int64_param for request in fake.requests]
    assert timeouts == sorted(timeouts, reverse=True)
    assert timeouts[0] <= 4_500_000


def test_no_answer_in_time(fake):
    over = threading.Event()
    fake.on_infer = lambda *_: over.wait(30)
    try:
        error = failure(fake, timeout_s=0.3)
    finally:
        over.set()
    assert type(error) is TimedOut
    assert "within 0.3 s" in str(error)


def test_a_server_that_hangs_altogether():
    over = threading.Event()
    with FakeTriton(workers=1) as fake:
        fake.on_infer = lambda *_: over.wait(30)
        try:
            error = failure(fake, timeout_s=0.3)
        finally:
            over.set()
    assert type(error) is ServerUnreachable


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": "http://localhost:8000"}, "expected host:port"),
        ({"url": "localhost"}, "expected host:port"),
        ({"transport": "udp"}, "transport: expected one of auto, fit"),
        ({"timeout_s": 0}, "timeout_s: expected more than 0 seconds, got 0"),
        ({"retries": -1}, "retries: expected 0 or more, got -1"),
    ],
)
def test_arguments_out_of_range(arguments, text):
    with pytest.raises(InvalidInput, match=text):
        Detector(**{"url": "localhost:8001", "model": "pcb", **arguments})


def test_no_image_in_flight_is_refused():
    with pytest.raises(InvalidInput, match="in_flight: expected 1 or more, got 0"):
        Detector("localhost:8001", "pcb").imap([], in_flight=0)


# A server that goes away and comes back


def gone_for(fake, requests: int, details: str) -> None:
    """Let so many requests fail as if the server were gone, or one of its steps."""
    code = grpc.StatusCode.INTERNAL if "Stub" in details else grpc.StatusCode.UNAVAILABLE
    left = itertools.count(requests, -1)

    def on_infer(request, context):
        del request
        if next(left) > 0:
            context.abort(code, details)

    fake.on_infer = on_infer


@pytest.mark.parametrize(
    "details",
    ["Server exiting", "Failed to process, message: Stub process 'x_0_0' is not healthy."],
)
def test_an_image_waits_for_a_server_that_has_answered(fake, monkeypatch, details):
    monkeypatch.setattr(core, "_WAIT_PAUSE_S", 0.001)
    gone_for(fake, 20, details)
    with Detector(fake.url, "pcb", retries=0, server_wait_s=60, transport="raw") as detector:
        assert len(detector([IMAGE] * 3)) == 3
    gone_for(fake, 20, details)
    with (
        Detector(fake.url, "pcb", retries=0, transport="raw") as detector,
        pytest.raises(ServerNotReady),
    ):
        detector(IMAGE)


def test_nobody_waits_for_a_server_that_never_answered():
    with FakeTriton() as gone:
        pass
    with pytest.raises(ServerUnreachable):
        Detector(gone.url, "pcb", retries=0, server_wait_s=1e9)(IMAGE)


def test_the_wait_ends(fake, monkeypatch):
    monkeypatch.setattr(core, "_WAIT_PAUSE_S", 0.001)
    gone_for(fake, 10**9, "Server exiting")
    with (
        Detector(fake.url, "pcb", retries=0, server_wait_s=0.05, transport="raw") as detector,
        pytest.raises(ServerNotReady),
    ):
        detector(IMAGE)
    with pytest.raises(InvalidInput, match="server_wait_s: expected 0 seconds or more, got -1"):
        Detector(fake.url, "pcb", server_wait_s=-1)


# One detector, several processes and event loops


def _detect_in_a_child(detector, image, results):
    results.put(detector(image).boxes.tolist())


def test_a_fork_has_a_connection_and_shared_memory_of_its_own(fake):
    """Two processes that write into one block get each other's detections."""
    forks = multiprocessing.get_context("fork")
    other = IMAGE[:, ::-1].copy()
    with Detector(fake.url, "pcb") as detector:
        expected = detector(IMAGE).boxes.tolist()
        regions = set(fake.regions)
        assert regions
        results = forks.Queue()
        child = forks.Process(target=_detect_in_a_child, args=(detector, other, results))
        child.start()
        mirrored = results.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
        assert mirrored != expected
        assert all(Path("/dev/shm", name).exists() for name in regions)
        assert detector(IMAGE).boxes.tolist() == expected


def test_an_asyncio_detector_outlives_its_loop(fake):
    detector = AsyncDetector(fake.url, "pcb")

    async def detect():
        return (await detector(IMAGE)).boxes.tolist()

    first = asyncio.run(detect())
    assert asyncio.run(detect()) == first
    assert asyncio.run(detect()) == first
    asyncio.run(detector.close())
