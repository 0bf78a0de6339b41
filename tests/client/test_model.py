"""Models that are no detectors, or not of this client's contract, are refused with a reason."""

from __future__ import annotations

import pytest
from failures import failure
from fake_triton import detector_config
from tridet import ContractMismatch
from tritonclient.grpc.model_config_pb2 import ModelConfig


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
