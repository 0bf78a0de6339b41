"""A process that sends requests: asked over a pipe, one phase at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np
from tridet.async_detector import AsyncDetector
from tridet.channel import TLS
from tridet.exceptions import TridetError
from tridet.flow import Call, Compute, Step
from tridet.images import ImageLike
from tridet.transports import Transport

from tridet_bench.frames import Frames
from tridet_bench.loops import Closed, Load, Spent, closed_loop, open_loop, poisson_moments
from tridet_bench.samples import Recorder, Samples

_StepSeconds = dict[type[Step], float]
_spent: ContextVar[_StepSeconds] = ContextVar("_spent")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    url: str
    model: str
    tls: TLS | None
    timeout_s: float
    thresholds: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is sent, and how."""

    transport: Transport
    frames: Frames

    @property
    def label(self) -> str:
        """As reports call it."""
        return f"{self.transport} {self.frames.label}"


@dataclass(frozen=True, slots=True)
class Phase:
    """One load for some time."""

    workload: Workload
    load: Load
    start_s: float
    """On ``time.monotonic()``, which all processes of a machine share."""
    duration_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What one process did in a phase."""

    samples: Samples
    cpu_s: float
    """CPU time of the process meanwhile."""
    end_s: float
    """When the last request was over."""


def serve(pipe: Connection, target: Target) -> None:
    """Answer until the pipe closes: a ``Workload``, for which it gets ready, with None, and a
    ``Phase`` with its PhaseResult.

    An expected error is the answer too.
    """
    # Ctrl-C is for the process that asks; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # gRPC's own log would mix with our messages.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # OpenCV's own threads spin while they wait for work, on the cores of the server under test.
    cv2.setNumThreads(1)
    # epoll wakes to the millisecond, which is the time of a whole request; select to the
    # microsecond.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    generator = _Generator(target)
    main = loop.create_task(generator.answer(pipe))
    loop.add_signal_handler(signal.SIGTERM, main.cancel)
    with contextlib.suppress(EOFError, OSError, asyncio.CancelledError):
        loop.run_until_complete(main)


class TimedDetector(AsyncDetector):
    """The users' AsyncDetector; requests at the same time need a task each."""

    async def timed(self, image: ImageLike) -> Spent:
        """Detect, throw the boxes away and say where the time went."""
        spent: _StepSeconds = {}
        _spent.set(spent)
        await self(image)
        return Spent(spent.get(Compute, 0.0), spent.get(Call, 0.0))

    async def _perform(self, step: Step) -> Any:
        started = time.monotonic()
        try:
            return await super()._perform(step)
        finally:
            spent = _spent.get({})
            spent[type(step)] = spent.get(type(step), 0.0) + time.monotonic() - started


class _Generator:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._detectors: dict[Transport, TimedDetector] = {}
        self._frames: dict[Workload, list[ImageLike]] = {}

    async def answer(self, pipe: Connection) -> None:
        try:
            while True:
                # In a thread, so that SIGTERM and gRPC's housekeeping are heard meanwhile.
                asked = await asyncio.to_thread(_received, pipe)
                if asked is None:
                    return
                try:
                    ready = isinstance(asked, Workload)
                    pipe.send(await (self._get_ready(asked) if ready else self._run(asked)))
                except TridetError as error:
                    pipe.send(error)
        finally:
            for detector in self._detectors.values():
                await detector.close()

    async def _get_ready(self, workload: Workload) -> None:
        detector = self._detectors.get(workload.transport)
        if detector is None:
            target = self._target
            detector = TimedDetector(
                target.url,
                target.model,
                transport=workload.transport,
                timeout_s=target.timeout_s,
                tls=target.tls,
                # A refusal is a result here, not something to try again.
                retries=0,
                **target.thresholds,
            )
            self._detectors[workload.transport] = detector
        info = await detector.connect()
        if workload not in self._frames:
            self._frames[workload] = workload.frames.load(workload.transport, info.max_pixels)
        for image in self._frames[workload]:
            await detector(image)

    async def _run(self, phase: Phase) -> PhaseResult:
        detector, images = self._detectors[phase.workload.transport], self._frames[phase.workload]
        recorder = Recorder()

        async def send(number: int) -> Spent:
            return await detector.timed(images[number % len(images)])

        cpu_s = time.process_time()
        if isinstance(phase.load, Closed):
            concurrency = phase.load.concurrency
            await closed_loop(concurrency, phase.start_s, phase.duration_s, send, recorder)
        else:
            rng = np.random.default_rng(phase.seed)
            moments = poisson_moments(phase.load.rate, phase.duration_s, rng)
            await open_loop(moments, phase.start_s, send, recorder)
        return PhaseResult(recorder.samples(), time.process_time() - cpu_s, time.monotonic())


def _received(pipe: Connection) -> Any:
    """Return what is asked; None when nobody asks any more."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None
