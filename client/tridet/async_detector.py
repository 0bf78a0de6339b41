"""The asyncio client: the same flows as the blocking one, awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tridet.channel import open_aio_channel, stub_of
from tridet.core import IN_FLIGHT, Core, check_in_flight
from tridet.detections import Detections
from tridet.flow import Call, Compute, Flow, Step, Together
from tridet.images import ImageLike
from tridet.model import ModelInfo

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from tridet.options import Thresholds

T = TypeVar("T")
AnyImage = TypeVar("AnyImage", bound=ImageLike)


class AsyncDetector(Core):
    """The asyncio twin of ``Detector``: same arguments, results and errors.

    It belongs to the event loop that makes its first call. Files are read, decoded and large images
    resized in threads, off the loop.

    Examples:
        >>> async with AsyncDetector("localhost:8001", "pcb") as detector:
        ...     detections = await detector("board.jpg")
    """

    _channel: Any = None
    _stub: Any = None
    _loop: asyncio.AbstractEventLoop | None = None

    def _open(self) -> None:
        self._loop = None  # the channel is opened in the loop that uses it

    async def connect(self) -> ModelInfo:
        """Ask the server for the model; see ``Detector.connect``."""
        return await self._run(self._connect_flow())

    @overload
    async def __call__(
        self,
        image: ImageLike,
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> Detections: ...

    @overload
    async def __call__(
        self,
        image: list[AnyImage],
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> list[Detections]: ...

    async def __call__(
        self,
        image: ImageLike | list[AnyImage],
        *,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> Detections | list[Detections]:
        """Detect objects in one image or in a list of them; see ``Detector.__call__``."""
        if isinstance(image, list):
            images = self.imap(image, timeout_s=timeout_s, **thresholds)
            return [found async for found in images]
        return await self._run(self._detect_flow(image, thresholds, timeout_s))

    async def imap(
        self,
        images: Iterable[ImageLike] | AsyncIterable[ImageLike],
        *,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
        **thresholds: Unpack[Thresholds],
    ) -> AsyncIterator[Detections]:
        """Detect in any number of images, in order and bounded; see ``Detector.imap``."""
        check_in_flight(in_flight)
        pending: deque[asyncio.Task[Detections]] = deque()
        try:
            async for image in _aiter(images):
                flow = self._detect_flow(image, thresholds, timeout_s)
                pending.append(asyncio.create_task(self._run(flow)))
                if len(pending) == in_flight:
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def close(self) -> None:
        """Disconnect and give shared memory back. Calls that still run fail."""
        if not self._closed:
            await self._run(self._regions.close())
            self._closed = True
            await self._channel.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        self._check_open()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # An asyncio channel belongs to its loop: each asyncio.run is another one.
            self._channel = open_aio_channel(self._target, self._tls, self._keepalive_s)
            self._stub = stub_of(self._channel, self._target)
            self._loop = loop
        with closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        result = await self._perform(step)
                    except Exception as error:
                        step = flow.throw(error)
                    else:
                        step = flow.send(result)
            except StopIteration as stop:
                value: T = stop.value
                return value

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Call):
            return await getattr(self._stub, step.method)(step.request, timeout=step.timeout_s)
        if isinstance(step, Compute):
            return await asyncio.to_thread(step.run) if step.heavy else step.run()
        if isinstance(step, Together):
            return await self._together(step.flows)
        return await asyncio.sleep(step.seconds)

    async def _together(self, flows: Sequence[Flow[T]]) -> list[T]:
        turns = asyncio.Semaphore(IN_FLIGHT)

        async def run(flow: Flow[T]) -> T:
            async with turns:
                return await self._run(flow)

        tasks = [asyncio.create_task(run(flow)) for flow in flows]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _aiter(
    images: Iterable[ImageLike] | AsyncIterable[ImageLike],
) -> AsyncIterator[ImageLike]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
