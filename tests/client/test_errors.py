"""Every way in which a call can fail: its class, its text, and whether it was tried again."""

from __future__ import annotations

import threading

import grpc
import numpy as np
import pytest
from fake_triton import FakeTriton, detector_config, picture, reject
from tridet import (
    ContractMismatch,
    Detector,
    InvalidInput,
    ModelUnknown,
    Overloaded,
    ServerFailed,
    ServerNotReady,
    ServerUnreachable,
    SharedMemoryUnavailable,
    TimedOut,
    TridetError,
)
from tridet.exceptions import TridetError as Base
from tritonclient.grpc.model_config_pb2 import ModelConfig

IMAGE = picture(64, 64)
QUEUE_FULL = "in ensemble 'pcb', [request id: 7] Exceeds maximum queue size"


@pytest.fixture
def fake():
    with FakeTriton() as server:
        yield server


def failure(fake, image=IMAGE, *, model="pcb", **options) -> TridetError:
    with pytest.raises(TridetError) as caught, Detector(fake.url, model, **options) as detector:
        detector(image)
    assert "\n" not in str(caught.value)
    return caught.value


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


def test_a_step_is_not_a_detector_and_the_message_names_the_detector(fake):
    error = failure(fake, model="pcb_detector")
    assert type(error) is ContractMismatch
    assert "expected its parameter tridet.contract, got none" in str(error)
    assert "use that name" in str(error) and "'pcb'" in str(error)


def test_the_encoded_ensemble_is_not_to_be_named(fake):
    error = failure(fake, model="pcb_encoded")
    assert type(error) is ContractMismatch
    assert "expected an input IMAGE, got ENCODED" in str(error) and "use that name" in str(error)


def test_a_foreign_model_on_a_foreign_server(fake):
    fake.models = {"resnet": ModelConfig(name="resnet")}
    error = failure(fake, model="resnet")
    assert type(error) is ContractMismatch
    assert "the server has no tridet detector" in str(error)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"contract": "2"}, "expected contract 1, got 2"),
        ({"task": "segment"}, "expected task detect, got segment"),
        ({"labels": "__import__('os')"}, "tridet.labels to hold a JSON list"),
        ({"labels": '{"0": "short"}'}, "tridet.labels to hold a JSON list"),
        ({"input_size": "640.5"}, "tridet.input_size to hold a JSON int"),
        ({"max_pixels": None}, "expected the parameter tridet.max_pixels, got none"),
    ],
)
def test_models_that_do_not_follow_the_contract(fake, change, text):
    fake.models["pcb"] = detector_config("pcb", **change)
    error = failure(fake)
    assert type(error) is ContractMismatch
    assert text in str(error)


def test_a_model_that_lacks_an_output(fake):
    del fake.models["pcb"].output[1]
    error = failure(fake)
    assert type(error) is ContractMismatch
    assert "missing detection_boxes" in str(error)


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


def test_a_server_elsewhere_has_no_shared_memory(fake):
    fake.shares_memory = False
    error = failure(fake, transport="shm")
    assert type(error) is SharedMemoryUnavailable
    assert "use transport fit" in str(error)


def test_shared_memory_survives_a_restart_of_the_server(fake):
    with Detector(fake.url, "pcb", transport="shm") as detector:
        detector(IMAGE)
        fake.regions.popitem()[1].close()
        assert len(detector(IMAGE)) == 2
        assert fake.calls["register"] == 2


def test_an_answer_that_is_not_the_contracts(fake, monkeypatch):
    import fake_triton

    monkeypatch.setattr(
        fake_triton,
        "detect",
        lambda _: (np.zeros((1, 4), "f4"), np.zeros(2, "f4"), np.zeros(2, "i4")),
    )
    error = failure(fake)
    assert type(error) is ContractMismatch


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"got uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \[4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got an empty image \[0, 4, 3\]"),
        (5, "got int"),
        (("a.jpg", "b.jpg"), "got tuple"),
        (None, "got NoneType"),
        (b"", "0 bytes"),
        (b"GIF89a", "expected JPEG, PNG, WEBP, BMP"),
    ],
)
@pytest.mark.parametrize("transport", ["auto", "encoded"])
def test_bad_images_never_reach_the_server(fake, image, text, transport):
    with (
        Detector(fake.url, "pcb", transport=transport) as detector,
        pytest.raises(InvalidInput, match=text),
    ):
        detector(image)
    assert not fake.requests


def test_the_path_is_in_the_message(fake, tmp_path):
    missing = tmp_path / "board.jpg"
    assert str(failure(fake, missing)).startswith(f"{missing}: cannot read the image: No such file")
    missing.write_bytes(b"text")
    assert str(failure(fake, missing)).startswith(f"{missing}: not an image")


def test_too_many_pixels(fake, tmp_path):
    import cv2

    path = tmp_path / "bomb.png"
    cv2.imwrite(str(path), np.zeros((2001, 2000, 3), np.uint8))
    for transport in ("auto", "encoded"):
        assert "over the pixel limit" in str(failure(fake, path, transport=transport))


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        ({"conf": 1.5}, "conf: expected a number from 0 to 1, got 1.5"),
        ({"iou": "high"}, "iou: expected a number"),
        ({"conf": True}, "conf: expected a number"),
        ({"max_det": 0}, "max_det: expected an integer of 1 or more, got 0"),
        ({"max_det": 1.5}, "max_det: expected an integer"),
        ({"agnostic": 1}, "agnostic: expected true or false, got 1"),
        ({"classes": ["pink"]}, "expected one of blue, green, red or an index from 0 to 2"),
        ({"classes": [3]}, "got 3"),
        ({"classes": 1.5}, "classes: expected names or indices"),
    ],
)
def test_thresholds_out_of_range(fake, threshold, text):
    with Detector(fake.url, "pcb") as detector, pytest.raises(InvalidInput, match=text):
        detector(IMAGE, **threshold)
    assert not fake.requests


def test_an_unknown_threshold_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword confidence: expected conf, iou"):
        Detector("localhost:1", "pcb", confidence=0.5)


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


def test_all_errors_share_a_base():
    assert Base is TridetError
    for error in (ServerUnreachable, ServerNotReady, ModelUnknown, ContractMismatch, InvalidInput):
        assert issubclass(error, TridetError)
