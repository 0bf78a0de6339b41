"""The messages and methods of Triton's gRPC protocol, which is KServe's v2 with Triton's additions.

NVIDIA's ``tritonclient`` has them too, beside an API of its own: 40 MB with what it needs, and a
third of the time that ``import tridet`` may take. Here they come from the descriptors of its
``.proto`` files, in a pool of their own: ``tritonclient``, of any version, may be imported as well.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_POOL: Any = DescriptorPool()
for _name in ("model_config", "grpc_service"):  # the second imports the first
    _POOL.AddSerializedFile(Path(__file__).with_name(f"{_name}.binpb").read_bytes())
_SERVICE = _POOL.FindServiceByName("inference.GRPCInferenceService")


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))


ModelConfigRequest = _message("ModelConfigRequest")
ModelInferRequest = _message("ModelInferRequest")
ModelStatistics = _message("ModelStatistics")
ModelStatisticsRequest = _message("ModelStatisticsRequest")
RepositoryIndexRequest = _message("RepositoryIndexRequest")
ServerMetadataRequest = _message("ServerMetadataRequest")
ServerReadyRequest = _message("ServerReadyRequest")
SystemSharedMemoryRegisterRequest = _message("SystemSharedMemoryRegisterRequest")
SystemSharedMemoryStatusRequest = _message("SystemSharedMemoryStatusRequest")
SystemSharedMemoryUnregisterRequest = _message("SystemSharedMemoryUnregisterRequest")


def stub_of(channel: Any) -> Any:
    """Return Triton's methods on a channel, blocking or asyncio: ``stub.ServerReady(request)``.

    ``ModelInfer`` takes a request that is serialized already; ``ModelStreamInfer`` is left out.
    """
    stub = SimpleNamespace()
    for method in _SERVICE.methods:
        if method.client_streaming:
            continue
        serialize = GetMessageClass(method.input_type).SerializeToString
        call = channel.unary_unary(
            f"/{_SERVICE.full_name}/{method.name}",
            request_serializer=None if method.name == "ModelInfer" else serialize,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        setattr(stub, method.name, call)
    return stub
