"""The asyncio twin does what the blocking detector does."""

from __future__ import annotations

import asyncio
import threading

import grpc
import numpy as np
import pytest
from fake_triton import FakeTriton, picture, reject
from tridet import (
    AsyncDetector,
    ContractMismatch,
    Detector,
    InvalidInput,
    ModelUnknown,
    Overloaded,
    ServerUnreachable,
    TimedOut,
    TridetError,
)

IMAGE = picture(333, 222)


def detect(fake, image, **options):
    async def run():
        async with AsyncDetector(fake.url, "pcb", **options) as detector:
            return await detector(image)

    return asyncio.run(run())


@pytest.mark.parametrize("transport", ["auto", "raw", "encoded", "shm"])
def test_both_send_and_return_the_same(fake, transport):
    thresholds = {"conf": 0.3, "classes": ["red", "blue"]}
    with Detector(fake.url, "pcb", transport=transport, **thresholds) as detector:
        expected = detector(IMAGE)
    actual = detect(fake, IMAGE, transport=transport, **thresholds)
    np.testing.assert_array_equal(actual.boxes, expected.boxes)
    np.testing.assert_array_equal(actual.scores, expected.scores)
    np.testing.assert_array_equal(actual.class_ids, expected.class_ids)
    assert actual.to_dict() == expected.to_dict()
    first, second = fake.requests
    for request in (first, second):
        del request.parameters["timeout"]
        request.inputs[0].parameters.clear()  # the name of the shared memory
    assert first == second
    assert fake.calls["register"] == fake.calls["unregister"]


def test_both_raise_the_same(fake):
    fake.on_infer = reject("conf: expected 0 to 1")
    with pytest.raises(InvalidInput) as expected, Detector(fake.url, "pcb") as detector:
        detector(IMAGE)
    with pytest.raises(InvalidInput) as actual:
        detect(fake, IMAGE)
    assert str(actual.value) == str(expected.value)


def test_unreachable():
    with FakeTriton() as gone:
        pass
    with pytest.raises(ServerUnreachable):
        detect(gone, IMAGE)


@pytest.mark.parametrize(
    ("model", "error"), [("boards", ModelUnknown), ("pcb_detector", ContractMismatch)]
)
def test_models_that_are_refused(fake, model, error):
    async def run():
        await AsyncDetector(fake.url, model)(IMAGE)

    with pytest.raises(error):
        asyncio.run(run())


def test_no_answer_in_time(fake):
    over = threading.Event()
    fake.on_infer = lambda *_: over.wait(30)
    try:
        with pytest.raises(TimedOut):
            detect(fake, IMAGE, timeout_s=0.3)
    finally:
        over.set()


def test_overload_is_retried_then_reported(fake):
    text = "Exceeds maximum queue size"
    fake.on_infer = reject(text, grpc.StatusCode.UNAVAILABLE, times=1)
    assert len(detect(fake, IMAGE)) == 2
    fake.on_infer = reject(text, grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Overloaded):
        detect(fake, IMAGE, retries=1)
    assert fake.calls["ModelInfer"] == 4


def test_imap_keeps_order_and_bound(fake):
    together = threading.Barrier(3)
    fake.on_infer = lambda *_: together.wait(timeout=30)

    async def images():
        for width in range(100, 109):
            yield picture(width, 64)

    async def run():
        async with AsyncDetector(fake.url, "pcb", timeout_s=30) as detector:
            return [found async for found in detector.imap(images(), in_flight=3)]

    results = asyncio.run(run())
    assert [found.image_size[0] for found in results] == list(range(100, 109))
    assert fake.most_in_flight == 3


def test_a_list_and_its_first_error(fake):
    assert [len(found) for found in detect(fake, [IMAGE, IMAGE, IMAGE])] == [2, 2, 2]
    with pytest.raises(TridetError, match="not an image"):
        detect(fake, [IMAGE, b"text", IMAGE])


def test_cancelling_a_call_gives_its_shared_memory_back(fake):
    entered, over = threading.Event(), threading.Event()

    def hang(*_):
        entered.set()
        over.wait(30)

    fake.on_infer = hang

    async def run():
        async with AsyncDetector(fake.url, "pcb", transport="shm") as detector:
            task = asyncio.create_task(detector(IMAGE))
            await asyncio.to_thread(entered.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            over.set()
            fake.on_infer = lambda *_: None
            return await detector(IMAGE)

    assert len(asyncio.run(run())) == 2
    assert fake.calls["register"] == 1


def test_closed_before_and_after_use(fake):
    async def run():
        detector = AsyncDetector(fake.url, "pcb")
        await detector.close()
        with pytest.raises(RuntimeError, match="closed"):
            await detector(IMAGE)

    asyncio.run(run())
