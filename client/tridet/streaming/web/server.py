"""The HTTP server of the live page: a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import HttpProcessingError
from yarl import URL

from tridet.streaming.event_loop import call_in_loop
from tridet.streaming.web.address import BACKLOG, Address
from tridet.streaming.web.door import Door
from tridet.streaming.web.gallery import Gallery
from tridet.streaming.web.hub import Hub, Stats, Viewer

_STATIC = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A browser answers a ping within milliseconds and reads what it gets; who does not is cut off.
_STALLED_S = 10.0
_GOODBYE_S = 0.5
_LONGEST_QUESTION_BYTES = 64 * 1024

_log = logging.getLogger("tridet.web")
# aiohttp logs a traceback when somebody sends what is not HTTP; an answer of 400 is enough.
_log.addFilter(lambda it: not (it.exc_info and isinstance(it.exc_info[1], HttpProcessingError)))

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves the page from the moment it is made.

    Args:
        address: where to listen.
        gallery: holds the pictures.
        stats: gives the numbers of every source.

    Raises:
        InvalidInput: it cannot listen there.
    """

    def __init__(self, address: Address, gallery: Gallery, stats: Stats) -> None:
        self._socket = address.listen()
        self.address = replace(address, port=self._socket.getsockname()[1])
        self.error: BaseException | None = None
        """What ended the server before its time."""
        self._gallery = gallery
        self._stats = stats
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_report)
        self._stop = asyncio.Event()
        self._viewers: set[web.WebSocketResponse] = set()
        self._thread = threading.Thread(target=self._run, name="tridet-web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye to the viewers and end; may be called again."""
        call_in_loop(self._loop, self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            with contextlib.closing(self._loop), self._socket:
                self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self.error = error

    async def _serve(self) -> None:
        self._hub = Hub(self._gallery, self._stats)
        runner = web.AppRunner(
            self._application(), access_log=None, logger=_log, shutdown_timeout=_GOODBYE_S
        )
        await runner.setup()
        listening: asyncio.Server | None = None
        tasks = [
            asyncio.ensure_future(work)
            for work in (self._stop.wait(), self._hub.send_numbers(), self._hub.send_pictures())
        ]
        try:
            assert runner.server is not None
            door = Door(runner.server)
            listening = await self._loop.create_server(
                door.connection, sock=self._socket, backlog=BACKLOG
            )
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if listening is not None:
                listening.close()
            await runner.cleanup()
            self._hub.close()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._check_host])
        application.on_response_prepare.append(_add_headers)
        application.on_shutdown.append(self._say_goodbye)
        for path, name in _STATIC.items():
            application.router.add_get(f"/{path}", _static(name))
        application.router.add_get("/healthz", _healthz)
        application.router.add_get("/stats.json", self._numbers)
        application.router.add_get(r"/snapshot/{source:.+}.jpg", self._snapshot)
        application.router.add_get("/live", self._live, allow_head=False)
        return application

    @web.middleware
    async def _check_host(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        host = _host(f"//{request.headers.get('Host', '')}")
        if host is None or not self.address.may_be_called(host):
            raise web.HTTPForbidden(
                text="expected this machine's name or IP address as the host, got another name\n"
            )
        return await handler(request)

    async def _numbers(self, _request: web.Request) -> web.Response:
        return web.json_response(text=self._hub.numbers())

    async def _snapshot(self, request: web.Request) -> web.Response:
        source = request.match_info["source"]
        if not self._hub.knows(source):
            raise web.HTTPNotFound(text="there is no source of this name\n")
        picture = await self._hub.picture(source)
        if picture is None:
            raise web.HTTPServiceUnavailable(text="this source has given no picture yet\n")
        return web.Response(body=picture.jpeg, content_type="image/jpeg")

    async def _live(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        # Browsers let any site open a WebSocket to any other, but say which site it was.
        if origin is not None and _host(origin) != _host(f"//{request.host}"):
            raise web.HTTPForbidden(text="expected to be opened by this server's own page\n")
        socket = web.WebSocketResponse(
            timeout=_GOODBYE_S,
            heartbeat=_STALLED_S,
            max_msg_size=_LONGEST_QUESTION_BYTES,
            compress=False,  # JPEGs do not get smaller
        )
        await socket.prepare(request)
        viewer = Viewer()
        self._viewers.add(socket)
        sending = asyncio.ensure_future(_send(socket, viewer))
        sending.add_done_callback(lambda _: _cut(request))
        try:
            self._hub.join(viewer)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hub.ask(viewer, _sources_from(message.data))
        finally:
            self._hub.leave(viewer)
            self._viewers.discard(socket)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _say_goodbye(self, _application: web.Application) -> None:
        # A stalled viewer cannot take even that, and its connection is cut off soon after.
        goodbyes = [
            asyncio.wait_for(socket.close(code=WSCloseCode.GOING_AWAY), _GOODBYE_S)
            for socket in self._viewers
        ]
        await asyncio.gather(*goodbyes, return_exceptions=True)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Where there are no file descriptors left, asyncio has a traceback for each connection.
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _cut(request: web.Request) -> None:
    # Not close(), which would wait for a stalled viewer to read what was sent.
    if request.transport is not None:
        request.transport.abort()


async def _send(socket: web.WebSocketResponse, viewer: Viewer) -> None:
    """Send what a viewer is given, one message at a time, until it goes away or stops reading."""
    while True:
        message = await viewer.next()
        send = socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message)
        try:
            await asyncio.wait_for(send, _STALLED_S)
        except (asyncio.TimeoutError, ConnectionError):
            return


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _static(name: str) -> _Handler:
    content = files("tridet.streaming.web").joinpath(f"static/{name}").read_bytes()
    kind = _TYPES[name.rpartition(".")[2]]

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _host(url: str) -> str | None:
    try:
        return URL(url).host
    except ValueError:
        return None


def _sources_from(question: str) -> list[str]:
    """Return the sources that a page asks pictures of; none if it is not one of our pages."""
    try:
        sources = json.loads(question)["pictures"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    if not isinstance(sources, list):
        return []
    return [source for source in sources if isinstance(source, str)]
