"""Say what a failed call to Triton means. The texts are those of Triton's own source."""

from __future__ import annotations

import re

import grpc

from tridet.channel import proxy_variable, target_from_url
from tridet.exceptions import (
    InvalidInput,
    Overloaded,
    ServerFailed,
    ServerUnreachable,
    TimedOut,
    TridetError,
)

# Of tridet's own admission, and of Triton's queue policies in front of models that have one.
_OVERLOADED = ("overloaded: ", "Exceeds maximum queue size", "Request timeout expired")
_CODES_OF_GRPC_ITSELF = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
# With NOT_FOUND and without "system", or with INVALID_ARGUMENT and with it, as the release has it.
_REGION_LOST = re.compile(r"Unable to find (?:system )?shared memory region")
_STEP_DEAD = re.compile(r"Stub process '?\S+'? is not healthy")
# Python backends prefix what they report, and append the place in their source.
_BACKEND_PREFIX = re.compile(r"^.*?Failed to process the request\(s\) for model .*?, message: ")
# Of OpenSSL, what failed at last: WRONG_VERSION_NUMBER is an answer in plain text.
_TLS_CAUSE = re.compile(r"Tls handshake failed.*OPENSSL_internal:(\w+).*")
# gRPC precedes the cause of a failed connection with the history of its attempts.
_CONNECTION_PREFIX = re.compile(r"^.*last error: \w+: ")
_RAISED_AS = re.compile(r"^(?:TritonModelException|TritonError): ")


def is_retryable(error: grpc.RpcError) -> bool:
    """Whether the same call may succeed a moment later."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and not is_restricted(error)


def is_restricted(error: grpc.RpcError) -> bool:
    """Whether the server answers such a call only to who has its key."""
    return "protocol is restricted" in (error.details() or "")


def is_step_dead(error: grpc.RpcError) -> bool:
    """Whether the process of a Python step has died: nothing is detected until it is replaced."""
    return bool(_STEP_DEAD.search(error.details() or ""))


def is_overload(error: grpc.RpcError) -> bool:
    """Whether the server refused the request because it has too much to do."""
    details = error.details() or ""
    return is_retryable(error) and any(text in details for text in _OVERLOADED)


def may_be_gone(error: grpc.RpcError) -> bool:
    """Whether gRPC itself may say this, because the connection broke or nobody answered."""
    return error.code() in _CODES_OF_GRPC_ITSELF and not is_overload(error)


def is_region_lost(error: BaseException | None) -> bool:
    """Whether the server has forgotten our shared memory, as it does when it restarts."""
    return isinstance(error, grpc.RpcError) and bool(_REGION_LOST.search(error.details() or ""))


def reason_of(error: grpc.RpcError) -> str:
    """Return the server's text in one line, without a Python backend's decoration."""
    details = _CONNECTION_PREFIX.sub("", error.details() or "")
    details = _TLS_CAUSE.sub(r"TLS handshake failed: \1", details)
    text = _RAISED_AS.sub("", _BACKEND_PREFIX.sub("", details.split("\n\nAt:")[0]).strip())
    return " ".join(text.split()) or f"no reason given ({error.code().name})"


def error_from_rpc(error: grpc.RpcError, url: str, timeout_s: float) -> TridetError:
    """Translate a failed call for which the code and the text alone tell the cause."""
    code, reason = error.code(), reason_of(error)
    if is_overload(error):
        return Overloaded(
            f"the server at {url} is overloaded ({reason}): "
            "send fewer requests at a time, or raise the timeout or the model's queue limits"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut(
            f"no answer from {url} within {timeout_s:g} s: "
            "raise the timeout, or look at the server's load (tridet status)"
        )
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput(f"the server refused the request: {reason}")
    return ServerFailed(f"the server at {url} failed ({code.name}): {reason}; see the server's log")


def unreachable(error: grpc.RpcError, url: str) -> ServerUnreachable:
    """Return the error for a call that did not reach a server."""
    proxy = proxy_variable(target_from_url(url))
    if "Tls handshake failed" in (error.details() or ""):
        return ServerUnreachable(
            f"no secure connection to {url} ({reason_of(error)}): "
            "does it speak TLS (leave --tls out if not), and is its certificate one to trust?"
        )
    way = f"; the way there is through the proxy of {proxy}, unless no_proxy names the host"
    return ServerUnreachable(
        f"no server answers at {url} ({reason_of(error)}): "
        "is tritonserver running, and is this its gRPC port (8001 by default)?"
        + (way if proxy else "")
    )
