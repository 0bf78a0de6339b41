"""What both detectors share: the settings, and every exchange with the server as a flow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2

from tridet import _thresholds, _wire
from tridet._channel import TLS, is_loopback, target_from_url
from tridet._detections import Detections
from tridet._exceptions import (
    ContractMismatch,
    InvalidInput,
    ModelUnknown,
    ServerNotReady,
    SharedMemoryUnavailable,
    TimedOut,
    TridetError,
)
from tridet._flow import Call, Compute, Flow, Pause
from tridet._images import ImageLike, source_of
from tridet._model import ModelInfo, detectors_among, model_info_from_config
from tridet._rpc_errors import (
    error_from_rpc,
    is_overload,
    is_region_lost,
    is_retryable,
    may_be_gone,
    reason_of,
    unreachable,
)
from tridet._shm import RegionPool
from tridet._thresholds import Parameters, Thresholds
from tridet._transports import TRANSPORTS, Payload, Transport, is_heavy, prepare

if TYPE_CHECKING:
    from typing_extensions import Unpack

IN_FLIGHT = 8
"""How many images are under way at a time, where the caller does not say."""

_FIRST_PAUSE_S = 0.1
# A question asked only to explain an error: it may not take long.
_PROBE_TIMEOUT_S = 1.0


def check_in_flight(in_flight: int) -> None:
    """Raise InvalidInput unless at least one image may be under way."""
    if in_flight < 1:
        raise InvalidInput(f"in_flight: expected 1 or more, got {in_flight!r}")


class Core:
    """Settings and flows; a subclass performs the steps of the flows over its own channel."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        transport: Transport = "auto",
        timeout_s: float = 10.0,
        retries: int = 3,
        tls: TLS | None = None,
        keepalive_s: float = 30.0,
        **thresholds: Unpack[Thresholds],
    ) -> None:
        """Set up a detector; nothing is sent yet.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            model: name of the detector there.
            transport: how images travel: auto, fit, raw, encoded or shm; see ``_transports``.
            timeout_s: what one call may take in all: reading, resizing, request and retries. To
                learn that the server does not answer at all takes up to a second more.
            retries: how often a request is sent again when the server is unavailable or overloaded
                for the moment; other errors are never retried.
            tls: connect with TLS.
            keepalive_s: seconds between the pings that find out that a silent server is gone.
            **thresholds: conf, iou, max_det, classes, agnostic (see ``Thresholds``) of every call
                that does not give its own; the model's defaults apply otherwise.

        Raises:
            InvalidInput: an argument is not acceptable.
        """
        self.url = url
        self.model = model
        self._target = target_from_url(url)
        if transport not in TRANSPORTS:
            raise InvalidInput(
                f"transport: expected one of {', '.join(TRANSPORTS)}, got {transport!r}"
            )
        for name, number in (("timeout_s", timeout_s), ("keepalive_s", keepalive_s)):
            if not number > 0:
                raise InvalidInput(f"{name}: expected more than 0 seconds, got {number!r}")
        if retries < 0:
            raise InvalidInput(f"retries: expected 0 or more, got {retries!r}")
        self.transport: Transport = transport
        self._timeout_s = timeout_s
        self._retries = retries
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._thresholds = _thresholds.given(thresholds)
        self._info: ModelInfo | None = None
        self._regions = RegionPool(url)
        # Behind a loopback address may be a forwarded port: the first attempt tells.
        self._may_share_memory = transport == "auto" and is_loopback(self._target)
        self._closed = False
        self._open()

    def _open(self) -> None:
        """Open the channel, where that can be done before the first call."""

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the detector is closed: make a new one")

    def _detect_flow(self, image: ImageLike, thresholds: Mapping[str, Any]) -> Flow[Detections]:
        started, deadline = time.monotonic(), self._deadline()
        info = yield from self._model_info(deadline)
        # The model's own defaults are sent too: its last step on the server is shared with other
        # models and does not know them.
        parameters = _thresholds.parameters_from_thresholds(
            {**info.defaults, **self._thresholds, **_thresholds.given(thresholds)}, info.labels
        )
        source = source_of(image)
        try:
            payload: Payload = yield Compute(
                lambda: prepare(image, self.transport, info),
                heavy=is_heavy(image, self.transport, info),
            )
            response = yield from self._infer(payload, parameters, deadline)
        except InvalidInput as error:
            if source is None:
                raise
            raise InvalidInput(f"{source}: {error}") from error
        boxes, scores, class_ids = _wire.arrays_from_response(response)
        return Detections(
            boxes=payload.in_source_pixels(boxes),
            scores=scores,
            class_ids=class_ids,
            labels=info.labels,
            image_size=payload.image_size,
            source=source,
            elapsed_s=time.monotonic() - started,
        )

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _model_info(self, deadline: float) -> Flow[ModelInfo]:
        if self._info is None:
            self._info = yield from self._ask_model_info(deadline)
        return self._info

    def _ask_model_info(self, deadline: float) -> Flow[ModelInfo]:
        request = service_pb2.ModelConfigRequest(name=self.model)
        response = yield from self._call("ModelConfig", lambda _: request, deadline)
        try:
            return model_info_from_config(response.config)
        except ContractMismatch:
            served = yield from self._served_models()
            # Read again for a message that knows the server's detectors.
            return model_info_from_config(response.config, detectors_among(served))

    def _infer(self, payload: Payload, parameters: Parameters, deadline: float) -> Flow[Any]:
        if self.transport == "shm":
            return (yield from self._infer_from_shared_memory(payload, parameters, deadline))
        if self._may_share_memory:
            try:
                return (yield from self._infer_from_shared_memory(payload, parameters, deadline))
            except SharedMemoryUnavailable:
                self._may_share_memory = False
        return (
            yield from self._call(
                "ModelInfer",
                lambda left_s: _wire.request_bytes(payload, parameters, timeout_s=left_s),
                deadline,
            )
        )

    def _infer_from_shared_memory(
        self, payload: Payload, parameters: Parameters, deadline: float
    ) -> Flow[Any]:
        try:
            region = yield from self._regions.lease(payload.data.nbytes)
        except grpc.RpcError as error:
            raise (yield from self._explain(error)) from error

        def request(left_s: float) -> bytes:
            return _wire.request_bytes(payload, parameters, timeout_s=left_s, region=region.name)

        try:
            # Not in a thread: one whose caller is cancelled would go on writing to a block that the
            # next request has leased.
            region.write(payload.data)
            try:
                return (yield from self._call("ModelInfer", request, deadline))
            except InvalidInput as error:
                if not is_region_lost(error.__cause__):
                    raise
            # The server has restarted since the region was made known to it.
            yield from self._regions.register(region)
            return (yield from self._call("ModelInfer", request, deadline))
        finally:
            self._regions.release(region)

    def _call(
        self, method: str, make_request: Callable[[float], Any], deadline: float
    ) -> Flow[Any]:
        """Call until it succeeds, as long as retrying makes sense and the time allows it."""
        pause_s = _FIRST_PAUSE_S
        retries_left = self._retries
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimedOut(f"the call took longer than {self._timeout_s:g} s")
            try:
                return (yield Call(method, make_request(left_s), left_s))
            except grpc.RpcError as error:
                out_of_time = time.monotonic() + pause_s >= deadline
                if not is_retryable(error) or not retries_left or out_of_time:
                    raise (yield from self._explain(error)) from error
            # Jitter, so that clients that were rejected together do not come back together.
            yield Pause(pause_s * random.uniform(0.5, 1.0))
            pause_s *= 2
            retries_left -= 1

    def _explain(self, error: grpc.RpcError) -> Flow[TridetError]:
        """Turn the final failure of a call into an error of ours, asking the server if need be."""
        if error.code() is grpc.StatusCode.NOT_FOUND:
            served = yield from self._served_models()
            detectors = detectors_among(served) or served
            return ModelUnknown(
                f"the server at {self.url} has no model {self.model!r} "
                f"({reason_of(error)}); it serves {', '.join(detectors) or 'none that is ready'}"
            )
        if may_be_gone(error):
            try:
                yield Call("ServerReady", service_pb2.ServerReadyRequest(), _PROBE_TIMEOUT_S)
            except grpc.RpcError as unanswered:
                return unreachable(unanswered, self.url)
        if is_retryable(error) and not is_overload(error):
            return ServerNotReady(
                f"the server at {self.url} answers but does not serve {self.model!r} now "
                f"({reason_of(error)}): wait until it has started (tridet status)"
            )
        return error_from_rpc(error, self.url, self._timeout_s)

    def _served_models(self) -> Flow[tuple[str, ...]]:
        request = service_pb2.RepositoryIndexRequest(ready=True)
        try:
            index = yield Call("RepositoryIndex", request, _PROBE_TIMEOUT_S)
        except grpc.RpcError:
            return ()  # only the hint in an error message is lost
        return tuple(sorted({model.name for model in index.models}))
