"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tridet.channel import open_channel, stub_of
from tridet.core import IN_FLIGHT, Core, check_in_flight
from tridet.detections import Detections
from tridet.flow import Call, Compute, Flow, Step, Together
from tridet.images import ImageLike
from tridet.model import ModelInfo
from tridet.pipeline import ordered_map

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from tridet.options import Thresholds

T = TypeVar("T")
AnyImage = TypeVar("AnyImage", bound=ImageLike)


class Detector(Core):
    """A detector on a Triton server, called with images.

    It may be used from several threads at once. It connects with the first call, or when it is
    entered as a context manager, and learns labels and sizes from the model itself.

    Examples:
        >>> with Detector("localhost:8001", "pcb") as detector:
        ...     for found in detector("board.jpg", conf=0.4):
        ...         print(found.name, found.score, found.box)
    """

    def _open(self) -> None:
        self._channel = open_channel(self._target, self._tls, self._keepalive_s)
        self._stub = stub_of(self._channel, self._target)

    def connect(self) -> ModelInfo:
        """Ask the server for the model, the first time, and return what it says of itself.

        Raises:
            ServerUnreachable, ServerNotReady, TimedOut: it cannot be asked.
            ModelUnknown, ContractMismatch: there is no such detector.
            InvalidInput: it does not accept the thresholds.
        """
        return self._run(self._connect_flow())

    @overload
    def __call__(
        self,
        image: ImageLike,
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> Detections: ...

    @overload
    def __call__(
        self,
        image: list[AnyImage],
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> list[Detections]: ...

    def __call__(
        self,
        image: ImageLike | list[AnyImage],
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> Detections | list[Detections]:
        """Detect objects in one image, or in a list of images with several requests in flight.

        Args:
            image: a path, a file's bytes, pixels in BGR order, or an image of Pillow; see
                ``ImageLike``; or a list of these.
            timeout_s: what each image may take, in place of the detector's own limit.
            **thresholds: override those of the detector for this call.

        Returns:
            The detections; for a list a list of them, in its order.

        Raises:
            TridetError: see ``tridet.exceptions``; for a list that of the first image that failed.
        """
        if isinstance(image, list):
            return list(self.imap(image, timeout_s=timeout_s, **thresholds))
        return self._run(self._detect_flow(image, thresholds, timeout_s))

    def imap(
        self,
        images: Iterable[ImageLike],
        *,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> Iterator[Detections]:
        """Detect in any number of images, and yield the detections in their order.

        Reading, decoding, resizing and requests of up to ``in_flight`` images overlap; no more than
        these are held at a time, however many there are.

        Raises:
            TridetError: an image failed; raised at its turn, and the iteration is over.
        """
        check_in_flight(in_flight)
        return ordered_map(
            lambda image: self(image, timeout_s=timeout_s, **thresholds), images, in_flight
        )

    def close(self) -> None:
        """Disconnect and give shared memory back. Calls that still run fail."""
        if not self._closed:
            self._run(self._regions.close())
            self._closed = True
            self._channel.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        self._check_open()
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        result = self._perform(step)
                    except Exception as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(result)
            except StopIteration as stop:
                value: T = stop.value
                return value

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return getattr(self._stub, step.method)(step.request, timeout=step.timeout_s)
        if isinstance(step, Compute):
            return step.run()
        if isinstance(step, Together):
            return list(ordered_map(self._run, step.flows, IN_FLIGHT))
        return time.sleep(step.seconds)
