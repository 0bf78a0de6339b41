"""Open a gRPC channel to Triton, blocking or asyncio, with the same options."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tridet import protocol
from tridet.access import metadata_of
from tridet.exceptions import InvalidInput

_KEEPALIVE_TIMEOUT_S = 10.0
# In the order in which gRPC looks for them.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_RESTRICTED_METHODS = (
    "RepositoryIndex",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryUnregister",
)


@dataclass(frozen=True, slots=True)
class TLS:
    """Talk to the server over TLS; with no field set, the system's root certificates are trusted.

    ``Detector(url, model, tls=TLS(ca_file="ca.pem"))``
    """

    ca_file: str | Path | None = None
    """PEM file with the root certificates to trust instead."""
    cert_file: str | Path | None = None
    """PEM file with the client's certificate chain, where the server asks for one."""
    key_file: str | Path | None = None
    """PEM file with the client's private key."""


def target_from_url(url: str) -> str:
    """Return gRPC's target for ``host:port``; an optional ``grpc://`` in front is dropped.

    Raises:
        InvalidInput: another scheme, or no port.
    """
    target = url.removeprefix("grpc://")
    host, _, port = target.rpartition(":")
    if "://" in target or not host or not port.isdecimal():
        raise InvalidInput(
            f"url: expected host:port of Triton's gRPC endpoint, as in localhost:8001, got {url!r}"
        )
    return target


def is_loopback(target: str) -> bool:
    """Whether the target's host can only be this machine, or something that it forwards to."""
    host = target.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_variable(target: str) -> str | None:
    """Return the environment variable that sends calls to the target through an HTTP proxy.

    gRPC itself knows the names in small letters only, and would take the way to this machine
    through the proxy too.
    """
    variable = next((name for name in _PROXIES if os.environ.get(name)), None)
    if variable is None or is_loopback(target):
        return None
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # slow

    return None if proxy_bypass_environment(target.rpartition(":")[0].strip("[]")) else variable


def open_channel(target: str, tls: TLS | None, keepalive_s: float) -> grpc.Channel:
    """Open a blocking channel; it connects with the first call."""
    options = _options(target, keepalive_s)
    if tls is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, _credentials(tls), options)


def open_aio_channel(target: str, tls: TLS | None, keepalive_s: float) -> grpc.aio.Channel:
    """Open an asyncio channel; call it in the event loop that will use it."""
    options = _options(target, keepalive_s)
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, _credentials(tls), options)


def stub_of(channel: Any, target: str) -> Any:
    """Return Triton's service stub over a channel to ``target``, blocking or asyncio.

    Its ModelInfer takes a request that is already serialized; what a server may keep from strangers
    is asked for with the key, see ``tridet.access``.
    """
    stub = protocol.stub_of(channel)
    for method in _RESTRICTED_METHODS:
        setattr(stub, method, _with_key(getattr(stub, method), target))
    return stub


def _with_key(call: Callable[..., Any], target: str) -> Callable[..., Any]:
    # Looked up each time: a server that was started again on its port has another key.
    return lambda request, timeout: call(
        request, timeout=timeout, metadata=metadata_of(target, local=is_loopback(target))
    )


def _options(target: str, keepalive_s: float) -> list[tuple[str, int]]:
    return [
        ("grpc.enable_http_proxy", int(proxy_variable(target) is not None)),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.keepalive_time_ms", int(keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(_KEEPALIVE_TIMEOUT_S * 1000)),
        # tridet retries itself, within the caller's timeout.
        ("grpc.enable_retries", 0),
        # A server that restarts is found again within a second, not within two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # A new detector does not inherit the back-off of another one's failed connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def _credentials(tls: TLS) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca_file),
        private_key=_content(tls.key_file),
        certificate_chain=_content(tls.cert_file),
    )


def _content(file: str | Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidInput(f"tls: cannot read {file}: {error.strerror or error}") from error
