"""Requests parse as what was meant, and answers are checked."""

from __future__ import annotations

import numpy as np
from failures import failure
from hypothesis import given
from hypothesis import strategies as st
from tridet import ContractMismatch
from tridet.transports import Payload
from tridet.wire import request_bytes
from tritonclient.grpc import service_pb2


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
    content = request_bytes(
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


def test_an_answer_that_is_not_the_contracts(fake, monkeypatch):
    import fake_triton

    monkeypatch.setattr(
        fake_triton,
        "detect",
        lambda _: (np.zeros((1, 4), "f4"), np.zeros(2, "f4"), np.zeros(2, "i4")),
    )
    error = failure(fake)
    assert type(error) is ContractMismatch
