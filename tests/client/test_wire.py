"""Properties of the client's pure parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet import wire as _wire
from tridet.channel import is_loopback
from tridet.pipeline import ordered_map
from tridet.processing.letterbox import fitted_size
from tridet.transports import Payload
from tritonclient.grpc import service_pb2

SIDE = st.integers(1, 8000)


@given(SIDE, SIDE, st.sampled_from([320, 640, 1280]))
def test_fitting_touches_one_side_and_exceeds_none(width, height, size):
    fitted = fitted_size(width, height, size)
    assert max(fitted) == size
    assert min(fitted) >= 1
    # Fitting what was fitted changes nothing: the server leaves the client's frame alone.
    assert fitted_size(*fitted, size) == fitted


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("localhost:8001", True),
        ("127.0.0.1:8001", True),
        ("127.3.2.1:1", True),
        ("[::1]:8001", True),
        ("10.0.0.7:8001", False),
        ("triton:8001", False),
        ("localhost.example.org:8001", False),
    ],
)
def test_which_servers_may_be_on_this_machine(url, loopback):
    assert is_loopback(url) == loopback


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60), st.just(3)),
    conf=st.floats(0, 1),
    max_det=st.integers(1, 10**6),
    agnostic=st.booleans(),
)
def test_requests_parse_as_what_was_meant(shape, conf, max_det, agnostic):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    size = (shape[1], shape[0])
    payload = Payload("pcb", "IMAGE", pixels, size, size)
    content = _wire.request_bytes(
        payload,
        {"conf": conf, "max_det": max_det, "agnostic": agnostic, "classes": "1,2"},
        timeout_s=10,
    )
    request = service_pb2.ModelInferRequest.FromString(content)
    assert request.raw_input_contents == [pixels.tobytes()]
    assert list(request.inputs[0].shape) == [1, *shape]
    assert request.parameters["conf"].double_param == conf
    assert request.parameters["max_det"].int64_param == max_det
    assert request.parameters["agnostic"].bool_param == agnostic
    assert request.parameters["classes"].string_param == "1,2"
    assert request.parameters["timeout"].int64_param == 9_000_000


@pytest.mark.parametrize("in_flight", [1, 3, 100])
def test_ordered_map_is_map(in_flight):
    assert list(ordered_map(lambda x: x * x, range(20), in_flight)) == [x * x for x in range(20)]


def test_ordered_map_reads_no_further_than_its_bound():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = ordered_map(str, items(), 4)
    assert next(results) == "0"
    assert len(taken) == 4
    results.close()


def test_ordered_map_raises_where_the_error_was():
    results = ordered_map(lambda x: 1 // x, [2, 1, 0, 3], 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
