"""When requests are sent: a fixed number in flight, or at random, independent of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from tridet.exceptions import TridetError

from tridet_bench.samples import FloatArray, Recorder

MOST_UNDER_WAY = 1024
"""Of one process: a server that answers nothing must not fill this machine's memory."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Where the time of one answered request went, seconds."""

    prepare_s: float
    call_s: float


Send = Callable[[int], Awaitable[Spent]]
"""Send the request of this number; raises TridetError."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A fixed number of requests in flight: the next is sent when one is answered."""

    concurrency: int

    @property
    def label(self) -> str:
        """As reports call it."""
        return f"{self.concurrency} at a time"

    def share(self, part: int, parts: int) -> Closed:
        """Return what process ``part`` of ``parts`` does of it."""
        return Closed(self.concurrency // parts + (part < self.concurrency % parts))


@dataclass(frozen=True, slots=True)
class Open:
    """A mean number of requests a second, whatever the server does: Poisson arrivals."""

    rate: float

    @property
    def label(self) -> str:
        """As reports call it."""
        return f"{self.rate:.4g}/s"

    def share(self, _part: int, parts: int) -> Open:
        """Return what each of ``parts`` processes does: Poisson processes add up to one."""
        return Open(self.rate / parts)


Load = Closed | Open


def poisson_moments(rate: float, duration_s: float, rng: np.random.Generator) -> FloatArray:
    """Return float64 [n], ascending seconds in [0, duration_s) of a Poisson process."""
    count = rng.poisson(rate * duration_s)
    return np.sort(rng.uniform(0, duration_s, count))


async def closed_loop(
    concurrency: int, start_s: float, duration_s: float, send: Send, recorder: Recorder
) -> None:
    """Keep ``concurrency`` requests in flight until the time is over; wait for the last ones."""
    clock = asyncio.get_running_loop().time
    numbers = iter(range(2**62))

    async def repeat() -> None:
        await asyncio.sleep(start_s - clock())
        while clock() < start_s + duration_s and recorder.fatal is None:
            await _send(next(numbers), clock(), send, recorder)

    await asyncio.gather(*(repeat() for _ in range(concurrency)))


async def open_loop(moments: FloatArray, start_s: float, send: Send, recorder: Recorder) -> None:
    """Send a request at each of ``moments`` after ``start_s``; wait for the last ones.

    A request's time counts from the intended send time, even if this process is late.
    """
    clock = asyncio.get_running_loop().time
    tasks: set[asyncio.Task[None]] = set()

    async def send_late(number: int, intended_s: float) -> None:
        recorder.late(clock() - intended_s)
        await _send(number, intended_s, send, recorder)

    for number, moment in enumerate(moments.tolist()):
        # Also when it is late already: others must have their turn.
        await asyncio.sleep(start_s + moment - clock())
        if recorder.fatal is not None:
            break
        if len(tasks) >= MOST_UNDER_WAY:
            recorder.missed("NotSent", f"{MOST_UNDER_WAY} requests are in flight already")
            continue
        task = asyncio.create_task(send_late(number, start_s + moment))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


async def _send(number: int, intended_s: float, send: Send, recorder: Recorder) -> None:
    clock = asyncio.get_running_loop().time
    sent_s = clock()
    try:
        spent = await send(number)
    except TridetError as error:
        recorder.failed(error)
    else:
        recorder.answered(intended_s, sent_s, clock(), spent.prepare_s, spent.call_s)
