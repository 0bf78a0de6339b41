"""What each transport comes to, and how the boxes of what was sent map back to the source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet.processing.letterbox import fitted_size
from tridet.transports import Payload, Route, route_of

SIDE = st.integers(1, 8000)


@pytest.mark.parametrize(
    ("target", "shm_failed", "shared_memory"),
    [
        ("localhost:8001", False, True),
        ("localhost:8001", True, False),
        ("10.0.0.7:8001", False, False),
    ],
)
def test_auto_is_fit_in_shared_memory_where_that_may_work(target, shm_failed, shared_memory):
    assert route_of("auto", target, shm_failed=shm_failed) == Route("fit", shared_memory)


@pytest.mark.parametrize("target", ["localhost:8001", "10.0.0.7:8001"])
@pytest.mark.parametrize("shm_failed", [False, True])
def test_the_other_transports_decide_nothing(target, shm_failed):
    assert route_of("shm", target, shm_failed=shm_failed) == Route("raw", True)
    for transport in ("fit", "raw", "encoded"):
        assert route_of(transport, target, shm_failed=shm_failed) == Route(transport, False)


@given(SIDE, SIDE, st.integers(0, 2**32 - 1))
def test_boxes_return_to_the_source_exactly(width, height, seed):
    sent = fitted_size(width, height, 640)
    payload = Payload("pcb", "IMAGE", np.zeros((1, 1, 3), np.uint8), (width, height), sent)
    source = np.random.default_rng(seed).uniform(0, 1, (5, 4)) * [width, height, width, height]
    seen = source * ([sent[0] / width, sent[1] / height] * 2)
    back = payload.in_source_pixels(seen.astype(np.float32))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, source, rtol=1e-5, atol=1e-3)


@given(SIDE, SIDE)
def test_a_box_around_everything_stays_on_the_image(width, height):
    sent = fitted_size(width, height, 640)
    payload = Payload("pcb", "IMAGE", np.zeros((1, 1, 3), np.uint8), (width, height), sent)
    boxes = payload.in_source_pixels(np.array([[-1, -1, 641, 641]], np.float32))
    assert (boxes[0] >= 0).all()
    assert boxes[0, 2] <= width and boxes[0, 3] <= height
