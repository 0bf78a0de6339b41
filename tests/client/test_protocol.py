"""Triton's messages and methods, held to those of NVIDIA's tritonclient."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import pytest
import tridet
from fake_triton import FakeTriton
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tridet import protocol
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

DESCRIPTORS = Path(tridet.__file__).with_name("protocol.binpb")


def test_descriptors_are_those_of_tritonclient(pytestconfig: pytest.Config) -> None:
    wanted = FileDescriptorSet()
    for module in (model_config_pb2, service_pb2):
        module.DESCRIPTOR.CopyToProto(wanted.file.add())
    if pytestconfig.getoption("--update-golden"):
        DESCRIPTORS.write_bytes(wanted.SerializeToString(deterministic=True))
    found = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    assert found == wanted, "pytest tests/client/test_protocol.py --update-golden writes them again"


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
