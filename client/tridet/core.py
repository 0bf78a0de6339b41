"""What both detectors share: the settings, and every exchange with the server as a flow."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from tridet import options, protocol, wire
from tridet.channel import TLS, target_from_url
from tridet.detections import Detections
from tridet.exceptions import (
    ContractMismatch,
    InvalidInput,
    ModelUnknown,
    ServerNotReady,
    ServerUnreachable,
    SharedMemoryUnavailable,
    TimedOut,
    TridetError,
)
from tridet.flow import Call, Compute, Deadline, Flow, Pause, Together, check_seconds
from tridet.groups import Found, MemberFilter, merged, parameters_and_filters
from tridet.images import ImageLike, UInt8Array, pixels_of, source_of
from tridet.model import ModelInfo, detectors_among, model_info_from_config
from tridet.options import Parameters, Thresholds
from tridet.processing.contract import AGNOSTIC, IMGSZ, IOU, MAX_DET
from tridet.rpc_errors import (
    error_from_rpc,
    is_overload,
    is_region_lost,
    is_retryable,
    is_step_dead,
    may_be_gone,
    reason_of,
    unreachable,
)
from tridet.shm import RegionPool
from tridet.tiling import Tiling, Window, joined, tiling_from
from tridet.transports import TRANSPORTS, Payload, Transport, is_heavy, prepare, route_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

IN_FLIGHT = 8
"""How many images are under way at a time, where the caller does not say."""

_FIRST_PAUSE_S = 0.1
_WAIT_PAUSE_S = 0.5
# A question asked only to explain an error: it may not take long.
_PROBE_TIMEOUT_S = 1.0


def check_in_flight(in_flight: int) -> None:
    """Raise InvalidInput unless at least one image may be under way."""
    if in_flight < 1:
        raise InvalidInput(f"in_flight: expected 1 or more, got {in_flight!r}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one call asks of a model."""

    info: ModelInfo
    side: int
    """Of the square that an image is fitted into, in pixels."""
    parameters: Parameters
    filters: tuple[MemberFilter, ...]

    def joined(self, views: Sequence[tuple[Window, Found]]) -> Found:
        """Return what the views of one image show together."""
        return joined(
            views,
            self.info.members,
            iou=float(self.parameters.get(IOU, 1.0)),
            agnostic=bool(self.parameters.get(AGNOSTIC, False)),
            limits=[one.max_det for one in self.filters]
            or [int(self.parameters.get(MAX_DET, sys.maxsize))],
        )


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
        server_wait_s: float = 0.0,
        **thresholds: Unpack[Thresholds],
    ) -> None:
        """Set up a detector; nothing is sent yet.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            model: name of the detector, or of the group of detectors, there.
            transport: how images travel: auto, fit, raw, encoded or shm; see ``tridet.transports``.
            timeout_s: what one call may take in all: reading, resizing, request and retries. To
                learn that the server does not answer at all takes up to a second more.
            retries: how often a request is sent again when the server is unavailable or overloaded
                for the moment; other errors are never retried.
            tls: connect with TLS.
            keepalive_s: seconds between the pings that find out that a silent server is gone.
            server_wait_s: how long an image waits, beyond ``timeout_s``, for a server that has
                answered before and is gone, or being started again.
            **thresholds: conf, iou, max_det, classes, agnostic, imgsz, tiles, overlap, whole (see
                ``Thresholds``) of every call that does not give its own; the model's defaults apply
                otherwise.

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
            check_seconds(name, number)
        if retries < 0:
            raise InvalidInput(f"retries: expected 0 or more, got {retries!r}")
        if not server_wait_s >= 0:
            raise InvalidInput(f"server_wait_s: expected 0 seconds or more, got {server_wait_s!r}")
        self.transport: Transport = transport
        self._server_wait_s = server_wait_s
        self._timeout_s = timeout_s
        self._retries = retries
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._thresholds = options.given(thresholds)
        tiling_from(self._thresholds)  # say at once what is wrong with it
        self._info: ModelInfo | None = None
        self._regions = RegionPool(url)
        self._route = route_of(transport, self._target)
        self._closed = False
        self._pid = os.getpid()
        self._open()

    def _open(self) -> None:
        """Open the channel, where that can be done before the first call."""

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the detector is closed: make a new one")
        if self._pid != os.getpid():
            # In a fork: connection and shared memory are those of the process that it came from.
            self._pid = os.getpid()
            self._regions = RegionPool(self.url)
            self._open()

    def _connect_flow(self) -> Flow[ModelInfo]:
        info = yield from self._model_info(self._deadline())
        _asked(info, self._thresholds)  # say at once what this model does not accept
        return info

    def _detect_flow(
        self, image: ImageLike, thresholds: Mapping[str, Any], timeout_s: float | None = None
    ) -> Flow[Detections]:
        """Detect in one image, again and again while its server is away."""
        gone_s: float | None = None
        while True:
            try:
                return (yield from self._detect_once_flow(image, thresholds, timeout_s))
            except (ServerUnreachable, ServerNotReady):
                now_s = time.monotonic()
                gone_s = gone_s or now_s
                # A server that never answered is rather the wrong one than away.
                if self._info is None or now_s - gone_s >= self._server_wait_s:
                    raise
            yield Pause(_WAIT_PAUSE_S * random.uniform(0.5, 1.0))

    def _detect_once_flow(
        self, image: ImageLike, thresholds: Mapping[str, Any], timeout_s: float | None
    ) -> Flow[Detections]:
        started, deadline = time.monotonic(), self._deadline(timeout_s)
        info = yield from self._model_info(deadline)
        settings = {**self._thresholds, **options.given(thresholds)}
        asked = _asked(info, settings)
        tiling = tiling_from(settings)
        source = source_of(image)
        try:
            if tiling is None:
                found, image_size = yield from self._look_flow(image, asked, deadline)
            else:
                found, image_size = yield from self._tiles_flow(image, tiling, asked, deadline)
        except InvalidInput as error:
            if source is None:
                raise
            raise InvalidInput(f"{source}: {error}") from error
        boxes, scores, class_ids = found
        return Detections(
            boxes=boxes,
            scores=scores,
            class_ids=class_ids,
            labels=info.labels,
            image_size=image_size,
            source=source,
            elapsed_s=time.monotonic() - started,
            members=info.members,
        )

    def _look_flow(
        self, image: ImageLike, asked: _Asked, deadline: Deadline
    ) -> Flow[tuple[Found, tuple[int, int]]]:
        """Detect in one image; give what was found in its pixels, and its (width, height)."""
        payload: Payload = yield Compute(
            lambda: prepare(image, self._route, asked.info, asked.side),
            heavy=is_heavy(image, self._route, asked.side),
        )
        response = yield from self._infer(payload, asked.parameters, deadline)
        each = [wire.arrays_from_response(response, outputs) for outputs in asked.info.outputs]
        boxes, scores, class_ids = merged(each, asked.info.members, asked.filters)
        return (payload.in_source_pixels(boxes), scores, class_ids), payload.image_size

    def _tiles_flow(
        self, image: ImageLike, tiling: Tiling, asked: _Asked, deadline: Deadline
    ) -> Flow[tuple[Found, tuple[int, int]]]:
        """Detect in the tiles of one image, all at once so that they meet in one batch."""
        pixels: UInt8Array = yield Compute(
            lambda: pixels_of(image, asked.info.max_pixels), heavy=not isinstance(image, np.ndarray)
        )
        image_size = (pixels.shape[1], pixels.shape[0])
        windows = tiling.windows(image_size)
        looks = yield Together(
            [self._look_flow(window.of(pixels), asked, deadline) for window in windows]
        )
        views = [(window, found) for window, (found, _) in zip(windows, looks, strict=True)]
        return asked.joined(views), image_size

    def _deadline(self, timeout_s: float | None = None) -> Deadline:
        return Deadline.after(self._timeout_s if timeout_s is None else timeout_s)

    def _model_info(self, deadline: Deadline) -> Flow[ModelInfo]:
        if self._info is None:
            self._info = yield from self._ask_model_info(deadline)
        return self._info

    def _ask_model_info(self, deadline: Deadline) -> Flow[ModelInfo]:
        request = protocol.ModelConfigRequest(name=self.model)
        response = yield from self._call("ModelConfig", lambda _: request, deadline)
        try:
            return model_info_from_config(response.config)
        except ContractMismatch:
            served = yield from self._served_models()
            # Read again for a message that knows the server's detectors.
            return model_info_from_config(response.config, detectors_among(served))

    def _infer(self, payload: Payload, parameters: Parameters, deadline: Deadline) -> Flow[Any]:
        if self._route.shared_memory:
            try:
                return (yield from self._infer_from_shared_memory(payload, parameters, deadline))
            except SharedMemoryUnavailable:
                self._route = route_of(self.transport, self._target, shm_failed=True)
                if self._route.shared_memory:
                    raise
        return (
            yield from self._call(
                "ModelInfer",
                lambda left_s: wire.request_bytes(payload, parameters, timeout_s=left_s),
                deadline,
            )
        )

    def _infer_from_shared_memory(
        self, payload: Payload, parameters: Parameters, deadline: Deadline
    ) -> Flow[Any]:
        try:
            region = yield from self._regions.lease(payload.data.nbytes)
        except grpc.RpcError as error:
            raise (yield from self._explain(error, deadline)) from error

        def request(left_s: float) -> bytes:
            return wire.request_bytes(payload, parameters, timeout_s=left_s, region=region.name)

        try:
            # Not in a thread: one whose caller is cancelled would go on writing to a block that the
            # next request has leased.
            region.write(payload.data)
            try:
                return (yield from self._call("ModelInfer", request, deadline))
            except (InvalidInput, ModelUnknown) as error:
                if not is_region_lost(error.__cause__):
                    raise
            # The server has restarted since the region was made known to it.
            yield from self._regions.register(region)
            return (yield from self._call("ModelInfer", request, deadline))
        finally:
            self._regions.release(region)

    def _call(
        self, method: str, make_request: Callable[[float], Any], deadline: Deadline
    ) -> Flow[Any]:
        """Call until it succeeds, as long as retrying makes sense and the time allows it."""
        pause_s = _FIRST_PAUSE_S
        retries_left = self._retries
        while True:
            left_s = deadline.left_s
            if left_s <= 0:
                raise TimedOut(f"the call took longer than {deadline.timeout_s:g} s")
            try:
                return (yield Call(method, make_request(left_s), left_s))
            except grpc.RpcError as error:
                out_of_time = pause_s >= deadline.left_s
                if not is_retryable(error) or not retries_left or out_of_time:
                    raise (yield from self._explain(error, deadline)) from error
            # Jitter, so that clients that were rejected together do not come back together.
            yield Pause(pause_s * random.uniform(0.5, 1.0))
            pause_s *= 2
            retries_left -= 1

    def _explain(self, error: grpc.RpcError, deadline: Deadline) -> Flow[TridetError]:
        """Turn the final failure of a call into an error of ours, asking the server if need be."""
        if error.code() is grpc.StatusCode.NOT_FOUND:
            served = yield from self._served_models()
            detectors = detectors_among(served) or served
            return ModelUnknown(
                f"the server at {self.url} has no model {self.model!r} "
                f"({reason_of(error)}); it serves {', '.join(detectors) or 'none that is ready'}"
            )
        if is_step_dead(error):
            return ServerNotReady(
                f"the server at {self.url} cannot detect: the process of a step has died "
                f"({reason_of(error)}): start it again; `make serve` and the container do so"
            )
        if may_be_gone(error):
            try:
                yield Call("ServerReady", protocol.ServerReadyRequest(), _PROBE_TIMEOUT_S)
            except grpc.RpcError as unanswered:
                return unreachable(unanswered, self.url)
        if is_retryable(error) and not is_overload(error):
            return ServerNotReady(
                f"the server at {self.url} answers but does not serve {self.model!r} now "
                f"({reason_of(error)}): wait until it has started (tridet status)"
            )
        return error_from_rpc(error, self.url, deadline.timeout_s)

    def _served_models(self) -> Flow[tuple[str, ...]]:
        request = protocol.RepositoryIndexRequest(ready=True)
        try:
            index = yield Call("RepositoryIndex", request, _PROBE_TIMEOUT_S)
        except grpc.RpcError:
            return ()  # only the hint in an error message is lost
        return tuple(sorted({model.name for model in index.models}))


def _asked(info: ModelInfo, settings: Mapping[str, Any]) -> _Asked:
    side = info.side(settings.get(IMGSZ))
    # The model's own defaults are sent too: its last step on the server is shared with other
    # models and does not know them.
    return _Asked(info, side, *parameters_and_filters(settings, info.members, info.labels))
