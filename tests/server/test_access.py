"""What manages a server is for whoever has its key; on the real server."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from local_triton import LocalServer
from tridet import Detector, SharedMemoryUnavailable
from tridet.access import GRPC_HEADER, HTTP_HEADER, key_file
from tridet.channel import open_channel, stub_of
from tritonclient.grpc import service_pb2, service_pb2_grpc

pytestmark = pytest.mark.server
IMAGE = np.full((48, 64, 3), 90, np.uint8)


def own_key_file(server: LocalServer) -> Path:
    return key_file(int(server.grpc_url.rpartition(":")[2]))


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("RepositoryModelLoad", service_pb2.RepositoryModelLoadRequest(model_name="small")),
        ("RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name="small")),
        ("SystemSharedMemoryRegister", service_pb2.SystemSharedMemoryRegisterRequest(name="x")),
        ("SystemSharedMemoryStatus", service_pb2.SystemSharedMemoryStatusRequest()),
        ("CudaSharedMemoryRegister", service_pb2.CudaSharedMemoryRegisterRequest(name="x")),
        ("TraceSetting", service_pb2.TraceSettingRequest()),
        ("LogSettings", service_pb2.LogSettingsRequest()),
    ],
)
def test_strangers_manage_nothing_over_grpc(
    stub_server: LocalServer, method: str, request_: object
) -> None:
    with open_channel(stub_server.grpc_url, None, 30) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for metadata in ((), ((GRPC_HEADER, "guessed"),)):
            with pytest.raises(grpc.RpcError, match="protocol is restricted"):
                getattr(stub, method)(request_, timeout=10, metadata=metadata)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/models/small/load",
        "/v2/repository/models/small/unload",
        "/v2/repository/index",
        "/v2/systemsharedmemory/region/x/register",
        "/v2/logging",
    ],
)
def test_strangers_manage_nothing_over_http(stub_server: LocalServer, path: str) -> None:
    """A page on the web may make a browser on this machine post that."""
    connection = http.client.HTTPConnection(stub_server.http_url.removeprefix("http://"))
    for headers in ({}, {HTTP_HEADER: "guessed"}):
        connection.request("POST", path, json.dumps({}), headers)
        answer = connection.getresponse()
        assert (answer.status, b"restricted" in answer.read()) == (403, True)
    connection.close()


def test_the_key_opens_shared_memory_and_without_it_auto_does_without(
    stub_server: LocalServer,
) -> None:
    path = own_key_file(stub_server)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == stub_server.key
    with Detector(stub_server.grpc_url, "small", transport="shm") as detector:
        expected = detector(IMAGE)
    hidden = path.rename(path.with_name("hidden"))
    try:
        with (
            Detector(stub_server.grpc_url, "small", transport="shm") as detector,
            pytest.raises(SharedMemoryUnavailable, match=r"only with its key.*TRIDET_KEY"),
        ):
            detector(IMAGE)
        with Detector(stub_server.grpc_url, "small") as detector:
            found = detector(IMAGE)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        code = "from tridet.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "status", "--url", stub_server.grpc_url],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "small_detector" in done.stdout
        assert "small answers in " in done.stdout
    finally:
        hidden.rename(path)


def test_the_client_finds_the_key_of_a_server_that_was_started_again(
    stub_server: LocalServer,
) -> None:
    with open_channel(stub_server.grpc_url, None, 30) as channel:
        stub = stub_of(channel, stub_server.grpc_url)
        index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10)
        assert {"small", "large"} <= {model.name for model in index.models}
        path = own_key_file(stub_server)
        path.write_text("0ld")
        try:
            with pytest.raises(grpc.RpcError, match="protocol is restricted"):
                stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10)
        finally:
            path.write_text(stub_server.key)
        stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10)
