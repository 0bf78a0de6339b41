"""Triton's messages and methods, held to those of NVIDIA's tritonclient."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import grpc
import pytest
from fake_triton import FakeTriton
from tridet import protocol
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc


@pytest.mark.parametrize(
    ("name", "module"), [("model_config", model_config_pb2), ("grpc_service", service_pb2)]
)
def test_descriptors_are_those_of_tritonclient(
    name: str, module: ModuleType, pytestconfig: pytest.Config
) -> None:
    file = Path(protocol.__file__).with_name(f"{name}.binpb")
    if pytestconfig.getoption("--update-golden"):
        file.write_bytes(module.DESCRIPTOR.serialized_pb)
    assert file.read_bytes() == module.DESCRIPTOR.serialized_pb, "rewrite it with --update-golden"


def test_a_message_is_the_same_on_the_wire() -> None:
    ours = protocol.ModelInferRequest(model_name="pcb", raw_input_contents=[b"pixels"])
    ours.parameters["conf"].double_param = 0.25
    theirs = service_pb2.ModelInferRequest.FromString(ours.SerializeToString())
    assert theirs.model_name == "pcb"
    assert theirs.parameters["conf"].double_param == 0.25
    assert list(theirs.raw_input_contents) == [b"pixels"]


def test_stub_has_every_method_that_is_no_stream() -> None:
    with grpc.insecure_channel("localhost:1") as channel:
        theirs = set(vars(service_pb2_grpc.GRPCInferenceServiceStub(channel)))
        assert set(vars(protocol.stub_of(channel))) == theirs - {"ModelStreamInfer"}


def test_stub_calls_a_server() -> None:
    with FakeTriton() as server, grpc.insecure_channel(server.url) as channel:
        answer = protocol.stub_of(channel).ServerMetadata(protocol.ServerMetadataRequest())
    assert answer.name == "triton"
    assert "tritonclient" in sys.modules  # both in one process
