"""Stand-ins around the engine: cameras without a picture, a detector without a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
from tridet import Detections
from tridet.streaming.capture import Capture
from tridet.streaming.clock import FrameClock, Timing
from tridet.streaming.engine import Engine
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.frames import StreamResult
from tridet.streaming.limits import Limits
from tridet.streaming.sources import parse_source
from tridet.streaming.stats import SourceStats
from tridet.streaming.video import DecodedFrame

PIXELS = np.zeros((4, 6, 3), np.uint8)
Answer = Callable[[np.ndarray, float], Awaitable[None]]


def no_detections() -> Detections:
    nothing = np.zeros(0, np.float32)
    return Detections(
        boxes=nothing.reshape(0, 4),
        scores=nothing,
        class_ids=nothing.astype(np.int32),
        labels=("a",),
        image_size=(6, 4),
    )


class StubImage:
    """What FFmpeg would give; its pixels hold its number."""

    rotation = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def to_ndarray(self, *, format: str) -> np.ndarray:  # noqa: ARG002
        pixels = PIXELS.copy()
        pixels[0, 0] = [self.number % 256, self.number // 256 % 256, 0]
        return pixels


class StubVideo:
    """Gives so many frames, each when ``wait`` lets it; without an image it is corrupt."""

    def __init__(
        self,
        count: int,
        wait: Callable[[int], object] = lambda _: None,
        image: Callable[[int], StubImage | None] = StubImage,
    ) -> None:
        self._count = count
        self._wait = wait
        self._image = image
        self.source = ""

    def frames(self, first_index: int, clock: FrameClock) -> Iterator[DecodedFrame | None]:
        clock.begin(Timing(None, 10.0))
        for number in range(self._count):
            self._wait(number)
            image = self._image(number)
            at, at_s = time.time(), time.monotonic()
            index = first_index + number
            pts_s = clock.at(None, None, at_s)
            yield image and DecodedFrame(self.source, index, at, at_s, pts_s, image)

    def close(self) -> None:
        pass


class StubDetector:
    """Answers as ``on_image`` does, which may wait or raise."""

    def __init__(self, on_image: Answer | None = None) -> None:
        self.on_image = on_image
        self.in_flight = self.most_in_flight = self.calls = 0
        self.timeouts: list[float] = []
        self.closed = False

    async def connect(self) -> None:
        pass

    async def __call__(self, image: np.ndarray, /, *, timeout_s: float) -> Detections:
        self.calls += 1
        self.timeouts.append(timeout_s)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.on_image is not None:
                await self.on_image(image, timeout_s)
            return no_detections()
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        self.closed = True


class Collector:
    """A sink that keeps the frame numbers of each source."""

    def __init__(self) -> None:
        self.indices: dict[str, list[int]] = {}
        self.results: list[StreamResult] = []

    def takes(self, _source: str) -> bool:
        return True

    async def put(self, result: StreamResult, policy: str) -> None:  # noqa: ARG002
        self.indices.setdefault(result.frame.source, []).append(result.frame.index)
        self.results.append(result)


def stub_capture(name: str, video: Any, policy: str = "all", **options: Any) -> Capture:
    """Return the real capture, reading ``video``."""
    source = parse_source(f"{name}.mp4", name=name, policy=policy, **options)
    stats = SourceStats(name)
    video.source = name
    return Capture(source, FrameQueue(source.policy, stats), stats, open_video=lambda _: video)


def run_engine(detector: Any, captures: list[Capture], **limits: Any) -> tuple[Engine, Collector]:
    """Run to the end; the engine's errors are left in it."""
    collector = Collector()
    engine = Engine(detector, captures, Limits(**limits), [collector])
    asyncio.run(asyncio.wait_for(engine.run(), 60))
    engine.join_captures(10)
    return engine, collector


def number_of(image: np.ndarray) -> int:
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
