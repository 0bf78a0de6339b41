"""The client side in a process of its own: a closed loop of calls, timed one by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
from tridet_bench.client_process import ClientProcess

from bench_pipelines.clients import Client, Factory
from bench_pipelines.errors import BenchError
from bench_pipelines.frames import UInt8Array, read_frames


@dataclass(frozen=True)
class Burst:
    """What one closed loop measured."""

    latencies_s: list[float]
    """Of each call, from the frame in memory to the boxes in memory."""
    wall_s: float
    """From the first call's start to the last one's end."""
    cpu_s: float
    """CPU time of the client process meanwhile."""
    boxes: npt.NDArray[np.float32]
    """Of the last frame: float32 [n, 4], xyxy in source pixels."""


class Worker:
    """A client process; one thread talks to it. Use as a context manager."""

    def __init__(self, name: str, factory: Factory, url: str, pictures: Path) -> None:
        """Start the process; ``pictures`` is a folder that ``write_frames`` filled."""
        self.name = name
        self._process = ClientProcess(_serve, factory, url, pictures)

    def burst(self, size: str, concurrency: int, count: int) -> Burst:
        """Make ``count`` calls with frames of ``size``, ``concurrency`` at a time.

        Raises:
            BenchError: a call failed, or the process is gone.
        """
        try:
            self._process.ask((size, concurrency, count))
            answer = self._process.answer()
        except (EOFError, OSError):
            raise BenchError(f"{self.name}: the client process died") from None
        if isinstance(answer, Burst):
            return answer
        raise BenchError(f"{self.name}, {size}, concurrency {concurrency}: {answer}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.dismiss()
        self._process.join()


# Mapped once: a new mapping costs a page fault for each 4 KB of a frame.
_frames = lru_cache(read_frames)


def _serve(pipe: Connection, factory: Factory, url: str, folder: Path) -> None:
    """Answer requests until the other end closes the pipe."""
    clients: list[Client] = []
    try:
        while True:
            size, concurrency, count = pipe.recv()
            try:
                while len(clients) < concurrency:
                    clients.append(factory(url))
                pipe.send(_burst(clients[:concurrency], _frames(folder, size), count))
            except Exception as error:  # whatever it is, it is the other process's to report
                text = f"{type(error).__name__}: {error}"
                pipe.send(text.splitlines()[0])
    except (EOFError, OSError, KeyboardInterrupt):
        pass  # the other end is gone: nobody waits for an answer
    finally:
        for client in clients:
            client.close()


def _burst(clients: list[Client], pictures: list[UInt8Array], count: int) -> Burst:
    numbers: Iterator[int] = iter(range(count))
    lock = threading.Lock()
    latencies_s: list[float] = []
    found: dict[int, npt.NDArray[np.float32]] = {}

    def loop(client: Client) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            began = time.perf_counter()
            boxes = client(pictures[number % len(pictures)])
            latencies_s.append(time.perf_counter() - began)
            found[number] = boxes

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        futures = [pool.submit(loop, client) for client in clients]
    wall_s = time.perf_counter() - wall_s
    cpu_s = time.process_time() - cpu_s
    for future in futures:
        future.result()
    return Burst(latencies_s, wall_s, cpu_s, found[count - 1])
