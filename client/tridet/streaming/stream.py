"""The library's side of a run: iterate over the results."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from tridet.streaming.frames import StreamResult
from tridet.streaming.outbox import Outbox
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.stats import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self


class Stream:
    """The results of one or many sources; made by ``tridet.stream``.

    Iterate over it with ``for`` or ``async for``, once. Capture and detection run in threads of
    their own, from the first step or ``with`` until the iteration or the block ends. A loop that is
    too slow for a live source gets its newest results; a file waits for the loop.

    A source that fails for good does not end the others. When the last source has ended, the error
    of each that failed is raised, naming it.
    """

    def __init__(self, pipeline: Pipeline, outbox: Outbox) -> None:
        self._pipeline = pipeline
        self._outbox = outbox
        self._ended = False
        # Also where it is never closed: at garbage collection, or at exit.
        self._stop = weakref.finalize(self, _stop, pipeline, outbox)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamResult:
        self._pipeline.start()
        result = self._outbox.get()
        if result is None:
            self._end()
            raise StopIteration
        return result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamResult:
        self._pipeline.start()
        result = await self._outbox.get_async()
        if result is None:
            self._end()
            raise StopAsyncIteration
        return result

    def stats(self) -> list[Snapshot]:
        """Return the numbers of every source as they stand."""
        return self._pipeline.snapshots()

    def close(self) -> None:
        """Stop; the results that still wait are discarded."""
        self._ended = True
        self._stop()

    def __enter__(self) -> Self:
        self._pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._pipeline.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._pipeline.raise_errors()


def _stop(pipeline: Pipeline, outbox: Outbox) -> None:
    outbox.clear()
    pipeline.stop()
    pipeline.join(5.0)
