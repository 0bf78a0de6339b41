"""How many connections the live page has at most, so that the cameras keep theirs."""

from __future__ import annotations

import asyncio

from aiohttp import web

MOST_CONNECTIONS = 128
"""A browser has one or two. Cameras, files and the server share the rest of the process's files,
1024 by default."""

# A browser asks at once. Some open a connection ahead of need; they open another one then.
_SILENT_S = 10.0
_TEXT = b"the live page has as many connections as it takes\n"
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Retry-After: 10\r\nContent-Length: %d\r\n\r\n%b" % (len(_TEXT), _TEXT)
)


class Door:
    """Lets connections in to the server, up to the limit; the others are told 503.

    Args:
        server: speaks HTTP with those that are let in.
    """

    def __init__(self, server: web.Server) -> None:
        self.server = server
        self.silent = 0
        """Connections on which nothing has been said yet."""

    def connection(self) -> asyncio.Protocol:
        """Return what meets a new connection."""
        return _Visitor(self)

    @property
    def is_full(self) -> bool:
        """Whether no further connection may be let in."""
        return self.silent + len(self.server.connections) >= MOST_CONNECTIONS


class _Visitor(asyncio.Protocol):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._waits: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._door.is_full:
            transport.write(_REFUSAL)
            transport.close()
            return
        self._door.silent += 1
        self._waits = asyncio.get_running_loop().call_later(_SILENT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._leave():
            handler = self._door.server()
            self._transport.set_protocol(handler)
            handler.connection_made(self._transport)
            handler.data_received(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._leave()

    def _leave(self) -> bool:
        """Return whether it was let in, and waits at the door no more."""
        if self._waits is None:
            return False
        self._waits.cancel()
        self._waits = None
        self._door.silent -= 1
        return True
