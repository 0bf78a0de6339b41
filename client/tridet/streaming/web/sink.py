"""The live page as a sink of results."""

from __future__ import annotations

from tridet.detections import UInt8Array
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.picture import Draw
from tridet.streaming.web.address import Address
from tridet.streaming.web.gallery import Gallery
from tridet.streaming.web.hub import Stats
from tridet.streaming.web.server import Server


def _annotated(result: StreamResult) -> UInt8Array:
    return result.detections.annotate(result.frame.pixels)


class WebSink:
    """Shows the newest result of every source on a page; a write costs next to nothing.

    Args:
        address: ``:PORT`` or ``HOST:PORT``; without a host only this machine can open the page,
            port 0 takes any that is free.
        stats: gives the numbers of every source, in the order in which the page shows them.
        draw: makes the picture of a result; called for those that somebody looks at.

    Raises:
        InvalidInput: ``address`` is not such a text, or it cannot listen there.
    """

    def __init__(self, address: str, stats: Stats, draw: Draw = _annotated) -> None:
        self.name = f"--web {address}"
        self._gallery = Gallery(draw)
        self._server = Server(Address.parse(address), self._gallery, stats)

    @property
    def url(self) -> str:
        """What to open in a browser on this machine."""
        return self._server.address.url

    @property
    def announcement(self) -> str:
        """One line for the user: where the page is and who can open it."""
        if not self._server.address.is_wildcard:
            return f"live page: {self.url}"
        return f"live page: {self.url} (on every address of this machine, without a password)"

    def write(self, result: StreamResult) -> None:
        """Keep a result until the next one of its source.

        Raises:
            Exception: the page has ended; what ended it.
        """
        if self._server.error is not None:
            raise self._server.error
        self._gallery.put(result)

    def close(self) -> None:
        """Stop serving; viewers are told."""
        self._server.stop()
