"""Who looks at what: a viewer gets a picture of a source when it has asked for one.

The page asks for the next picture of a camera when it has shown the last. So a slow browser gets
fewer pictures instead of old ones, one that is hidden gets none, and one that reads nothing has at
most one picture per source waiting for it here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tridet.streaming.stats import Snapshot
from tridet.streaming.web.gallery import Gallery, Picture

Stats = Callable[[], list[Snapshot]]

_PICTURE_PERIOD_S = 0.1
_NUMBERS_PERIOD_S = 0.5


class Viewer:
    """One browser: what it asked for, and what it has yet to be sent."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._given: dict[str, int] = {}
        self._pictures: dict[str, bytes] = {}
        self._numbers: str | None = None
        self._something = asyncio.Event()

    def wants(self, source: str, version: int) -> bool:
        """Whether it asked for a picture of ``source`` and has not been given this one."""
        return source in self.asked and self._given.get(source) != version

    def give(self, picture: Picture, message: bytes) -> None:
        """Have the picture sent, in the place of one of the same source that still waits."""
        self.asked.discard(picture.source)
        self._given[picture.source] = picture.version
        self._pictures[picture.source] = message
        self._something.set()

    def tell(self, numbers: str) -> None:
        """Have the numbers sent, in the place of those that still wait."""
        self._numbers = numbers
        self._something.set()

    async def next(self) -> str | bytes:
        """Wait for the next message to send: text for numbers, bytes for a picture."""
        while self._numbers is None and not self._pictures:
            self._something.clear()
            await self._something.wait()
        if self._numbers is not None:
            numbers, self._numbers = self._numbers, None
            return numbers
        return self._pictures.pop(next(iter(self._pictures)))


class Hub:
    """All viewers. Belongs to one event loop.

    Args:
        gallery: holds the pictures.
        stats: gives the numbers of every source.
    """

    def __init__(self, gallery: Gallery, stats: Stats) -> None:
        self._gallery = gallery
        self._stats = stats
        self._viewers: set[Viewer] = set()
        self._sources: frozenset[str] = frozenset()
        self._watched = asyncio.Event()
        self._asked = asyncio.Event()
        # One thread: however many look on, drawing takes no more than one core from detection.
        self._drawing = ThreadPoolExecutor(1, "tridet-web-drawing")

    def join(self, viewer: Viewer) -> None:
        """Add a viewer; it gets the numbers within half a second."""
        self._viewers.add(viewer)
        self._watched.set()

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self._watched.clear()

    def ask(self, viewer: Viewer, sources: list[str]) -> None:
        """Note that a viewer wants the next picture of each of these; unknown ones are ignored."""
        viewer.asked.update(self._sources.intersection(sources))
        self._asked.set()

    def numbers(self) -> str:
        """Return the snapshots of all sources as JSON."""
        snapshots = self._stats()
        self._sources = frozenset(snapshot.source for snapshot in snapshots)
        return json.dumps({"sources": [snapshot.to_dict() for snapshot in snapshots]})

    def knows(self, source: str) -> bool:
        """Whether there is such a source."""
        return any(snapshot.source == source for snapshot in self._stats())

    async def picture(self, source: str) -> Picture | None:
        """Return the newest picture of a source; None before the first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._drawing, self._gallery.picture, source)

    async def send_numbers(self) -> None:
        """Tell all viewers the numbers, for ever."""
        while True:
            await self._watched.wait()
            numbers = self.numbers()
            for viewer in self._viewers:
                viewer.tell(numbers)
            await asyncio.sleep(_NUMBERS_PERIOD_S)

    async def send_pictures(self) -> None:
        """Give viewers the pictures they asked for, each source ten times a second at most."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            started_s = time.monotonic()
            for source in set[str]().union(*(viewer.asked for viewer in self._viewers)):
                await self._send_picture(source)
            if any(viewer.asked for viewer in self._viewers):
                self._asked.set()  # nothing new of that source yet: look again in the next round
            await asyncio.sleep(max(0.0, started_s + _PICTURE_PERIOD_S - time.monotonic()))

    async def _send_picture(self, source: str) -> None:
        version = self._gallery.version(source)
        if version is None or not any(viewer.wants(source, version) for viewer in self._viewers):
            return
        picture = await self.picture(source)
        if picture is None:
            return
        message = _message(picture)
        for viewer in self._viewers:
            if viewer.wants(source, picture.version):
                viewer.give(picture, message)

    def close(self) -> None:
        """Let the drawing thread end."""
        self._drawing.shutdown(wait=False, cancel_futures=True)


def _message(picture: Picture) -> bytes:
    """Return the length of a JSON header as two bytes, big-endian; the header; the JPEG."""
    header = json.dumps({"source": picture.source, "frame": picture.frame}).encode()
    return len(header).to_bytes(2, "big") + header + picture.jpeg
