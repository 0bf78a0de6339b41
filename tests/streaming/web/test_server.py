"""The live page's server: what it answers, to whom, and that no viewer can hold it up.

``test_page.py`` looks at the page in a browser.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
import select
import socket
import threading
import time

import aiohttp
import cv2
import numpy as np
import pytest
from synthetic_cameras import Studio, SyntheticCamera
from tridet.exceptions import InvalidInput
from tridet.streaming.web import WebSink, door, server
from tridet.streaming.web.address import Address

pytestmark = pytest.mark.timeout(120)


NO_LONGER_S = 3600.0


@pytest.fixture
def studio():
    return Studio([SyntheticCamera("dock"), SyntheticCamera("line 4/é", (1280, 720), 1)])


@pytest.fixture
def sink(studio):
    sink = WebSink("127.0.0.1:0", studio.snapshots)
    studio.show_to(sink)
    yield sink
    sink.close()


def request(sink: WebSink, path: str, method: str = "GET", **headers: str):
    """Return status, headers and body of an answer."""
    address = sink.url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(address)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def noise(result):
    """Draw what JPEG cannot make small, so that a viewer who does not read fills every buffer."""
    rng = np.random.default_rng(result.frame.index)
    return rng.integers(0, 256, (540, 960, 3), np.uint8)


class Watcher:
    """A page's side of the WebSocket."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection

    async def ask(self, *sources: str) -> None:
        await self.connection.send_str(json.dumps({"pictures": sources}))

    async def numbers(self) -> dict:
        while True:
            message = await self.connection.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                return json.loads(message.data)

    async def picture(self) -> tuple[str, int, np.ndarray]:
        """Return source, frame index and pixels of the next picture."""
        while True:
            message = await self.connection.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                length = int.from_bytes(message.data[:2], "big")
                header = json.loads(message.data[2 : 2 + length])
                jpeg = np.frombuffer(message.data[2 + length :], np.uint8)
                return header["source"], header["frame"], cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
            assert message.type is aiohttp.WSMsgType.TEXT, message


def watch(sink: WebSink, scene, viewers: int = 1):
    """Run ``scene`` with watchers of the page."""

    async def run():
        async with aiohttp.ClientSession() as session:
            connections = [await session.ws_connect(f"{sink.url}live") for _ in range(viewers)]
            await scene(*map(Watcher, connections))

    asyncio.run(run())


def stalled_viewer(sink: WebSink, *sources: str) -> socket.socket:
    """Return a connection that asked for pictures again and again and never reads one."""
    port = Address.parse(sink.url.removeprefix("http://").rstrip("/")).port
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    raw.sendall(
        b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert raw.recv(12) == b"HTTP/1.1 101"
    question = json.dumps({"pictures": sources}).encode()
    # A final text frame, masked with zeros, as a client has to.
    frame = bytes([0x81, 0x80 | len(question)]) + bytes(4) + question
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            try:
                raw.sendall(frame)
            except OSError:
                return

    threading.Thread(target=ask, daemon=True).start()
    return raw


# HTTP --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/stats.json", "application/json; charset=utf-8"),
    ],
)
def test_get_and_head(sink, path, kind):
    status, headers, body = request(sink, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert len(body) > 0
    status, headers, nothing = request(sink, path, "HEAD")
    assert (status, headers["Content-Type"], nothing) == (200, kind, b"")


def test_nothing_comes_from_elsewhere(sink):
    for path in ("/", "/page.css", "/page.js"):
        _, headers, body = request(sink, path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert b"https://" not in body
    assert request(sink, "/static/page.html")[0] == 404
    assert request(sink, "/../server.py")[0] == 404


def test_stats(sink, studio):
    studio.cameras[0].next()
    sources = json.loads(request(sink, "/stats.json")[2])["sources"]
    assert [source["source"] for source in sources] == ["dock", "line 4/é"]
    assert [source["frames_out"] for source in sources] == [1, 0]


def test_snapshot(sink, studio):
    path = "/snapshot/line%204%2F%C3%A9.jpg"
    assert request(sink, path)[::2] == (503, b"this source has given no picture yet\n")
    sink.write(studio.cameras[1].next())
    status, headers, body = request(sink, path)
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (540, 960, 3)
    assert request(sink, path)[2] == body
    assert request(sink, path, "HEAD")[::2] == (200, b"")
    assert request(sink, "/snapshot/other.jpg")[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("[::1]:8080", 200),
        ("192.168.1.20:8080", 200),
        (f"{socket.gethostname()}:8080", 200),
        ("evil.example", 403),
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 403),
    ],
)
def test_only_known_hosts(sink, host, status):
    assert request(sink, "/stats.json", Host=host)[0] == status


def test_other_sites_cannot_watch(sink):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert request(sink, "/live", Origin="http://evil.example", **upgrade)[0] == 403
    assert request(sink, "/live", Origin="null", **upgrade)[0] == 403
    assert request(sink, "/live", Origin=sink.url.rstrip("/"), **upgrade)[0] == 101


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + 20_000 * b"a"]
)
def test_what_is_not_http_is_answered_and_not_logged(sink, garbage, caplog):
    host, port = sink.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(garbage)
        assert raw.recv(12) == b"HTTP/1.0 400"
    assert request(sink, "/healthz")[0] == 200
    assert caplog.records == []


# Viewers -----------------------------------------------------------------------------------------
def test_pictures_are_drawn_for_those_who_look_and_once(studio):
    drawn = []

    def draw(result):
        drawn.append(result.frame.index)
        return result.frame.pixels

    sink = WebSink(":0", studio.snapshots, draw)
    camera = studio.cameras[0]
    for _ in range(5):
        sink.write(camera.next())

    async def scene(first, second):
        assert (await first.numbers())["sources"][0]["frames_out"] == 5
        assert drawn == []
        for watcher in (first, second):
            await watcher.ask("dock", "unknown")
            source, frame, pixels = await watcher.picture()
            assert (source, frame) == ("dock", 4)
            assert pixels.shape == (360, 640, 3)
        assert drawn == [4]
        # The same picture is not sent twice; the question waits for the next one.
        await first.ask("dock")
        await first.numbers()
        sink.write(camera.next())
        assert (await first.picture())[1] == 5

    watch(sink, scene, viewers=2)
    for _ in range(5):
        sink.write(camera.next())
    assert request(sink, "/healthz")[0] == 200
    assert drawn == [4, 5]
    sink.close()


def test_odd_questions_do_no_harm(sink, studio):
    sink.write(studio.cameras[0].next())

    async def scene(watcher):
        for question in ("", "{", "[]", "1", '{"pictures": 1}', '{"pictures": [1, null, {}]}'):
            await watcher.connection.send_str(question)
        await watcher.connection.send_bytes(b"\xff")
        await watcher.ask(*(f"camera {index}" for index in range(1000)))
        await watcher.ask("dock")
        assert (await watcher.picture())[0] == "dock"

    watch(sink, scene)


def test_a_viewer_that_reads_nothing_does_not_slow_the_others(studio, monkeypatch):
    # It is never cut off here: were the others to wait for it, they would wait for ever.
    monkeypatch.setattr(server, "_STALLED_S", NO_LONGER_S)
    sink = WebSink(":0", studio.snapshots, noise)
    names = [camera.stats.source for camera in studio.cameras]
    frames = {name: [] for name in names}

    async def scene(watcher):
        await watcher.numbers()
        await watcher.ask(*names)
        while min(map(len, frames.values())) < 30:
            source, frame, _ = await watcher.picture()
            frames[source].append(frame)
            await watcher.ask(source)

    with studio.show_to(sink), stalled_viewer(sink, *names), stalled_viewer(sink, *names):
        watch(sink, scene)
        sink.close()
    for seen in frames.values():
        assert seen == sorted(set(seen))


def test_a_viewer_that_reads_nothing_is_cut_off(studio, monkeypatch):
    monkeypatch.setattr(server, "_STALLED_S", 0.5)
    sink = WebSink(":0", studio.snapshots, noise)
    with studio.show_to(sink), stalled_viewer(sink, "dock") as raw:
        # Whatever had been sent before can still be read; then it is over.
        with pytest.raises(ConnectionError):
            while True:
                raw.sendall(b"\x8a\x80\0\0\0\0")  # an unasked pong: the connection is in use
        sink.close()


# Crowds ------------------------------------------------------------------------------------------
def connected(sink: WebSink) -> socket.socket:
    host, port = sink.url.removeprefix("http://").rstrip("/").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_a_crowd_is_refused_and_those_who_watch_are_not_disturbed(sink, studio, caplog):
    async def scene(watcher):
        crowd = [connected(sink) for _ in range(1100)]
        # The silent ones that were let in are cut off later; all others are told at once.
        told = select.poll()
        for raw in crowd:
            told.register(raw, select.POLLIN)
        while len(heard := told.poll(1000)) < len(crowd) - door.MOST_CONNECTIONS + 1:
            await asyncio.sleep(0.05)
        refused = {number for number, _ in heard}
        assert len(refused) == len(crowd) - door.MOST_CONNECTIONS + 1
        assert {raw.recv(12) for raw in crowd if raw.fileno() in refused} == {b"HTTP/1.1 503"}
        assert (await asyncio.to_thread(request, sink, "/healthz"))[0] == 503
        sink.write(studio.cameras[0].next())
        await watcher.ask("dock")
        assert (await watcher.picture())[0] == "dock"
        for raw in crowd:
            raw.close()
        while (await asyncio.to_thread(request, sink, "/healthz"))[0] == 503:
            await asyncio.sleep(0.05)

    watch(sink, scene)
    assert caplog.records == []


def test_who_says_nothing_is_cut_off(sink, monkeypatch):
    monkeypatch.setattr(door, "_SILENT_S", 0.2)
    with connected(sink) as raw, pytest.raises(ConnectionResetError):
        raw.recv(1)
        raise ConnectionResetError  # closed in order is as good
    assert request(sink, "/healthz")[0] == 200


def test_without_file_descriptors_nothing_is_logged_and_it_recovers(sink, caplog):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = [socket.socket() for _ in range(20)]
    host, port = sink.url.removeprefix("http://").rstrip("/").split(":")
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(map(socket.socket.fileno, crowd)) + 1, before[1])
    )
    try:
        for raw in crowd:
            raw.connect((host, int(port)))
        time.sleep(0.3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for raw in crowd:
            raw.close()
    assert request(sink, "/healthz")[0] == 200
    assert caplog.records == []


# Beginning and end -------------------------------------------------------------------------------
def test_close_with_viewers(studio, monkeypatch):
    monkeypatch.setattr(server, "_STALLED_S", NO_LONGER_S)
    sink = WebSink(":0", studio.snapshots, noise)

    async def scene(watcher):
        await watcher.numbers()
        await asyncio.to_thread(sink.close)
        while (message := await watcher.connection.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        assert message.data == aiohttp.WSCloseCode.GOING_AWAY

    with studio.show_to(sink), stalled_viewer(sink, "dock"):
        watch(sink, scene)
        sink.close()
    with pytest.raises(ConnectionRefusedError):
        request(sink, "/healthz")
    assert "tridet-web" not in {thread.name for thread in threading.enumerate()}


def test_an_error_reaches_the_caller(studio):
    def stats():
        raise ValueError("no numbers")

    sink = WebSink(":0", stats)

    async def scene(watcher):
        assert (await watcher.connection.receive()).type is aiohttp.WSMsgType.CLOSE

    watch(sink, scene)
    with pytest.raises(ValueError, match="no numbers"):
        while True:
            sink.write(studio.cameras[0].next())
    sink.close()


def test_port_taken(sink, studio):
    address = sink.url.removeprefix("http://").rstrip("/")
    with pytest.raises(InvalidInput, match="the port is taken") as caught:
        WebSink(address, studio.snapshots)
    assert address in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8080",
        "localhost",
        ":",
        ":x",
        ":65536",
        ":-1",
        "a:b:1",
        "http://a:1",
        ":80/x",
        "u:p@h:1",
    ],
)
def test_no_address(address, studio):
    with pytest.raises(InvalidInput, match="expected the page's address as :PORT") as caught:
        WebSink(address, studio.snapshots)
    assert "u:p" not in str(caught.value)


def test_no_address_of_this_machine(studio):
    with pytest.raises(InvalidInput, match=r"cannot serve the page at 203\.0\.113\.1:80: Cannot"):
        WebSink("203.0.113.1:80", studio.snapshots)
    with pytest.raises(InvalidInput, match=r"at no-such-host\.invalid:80: \w"):
        WebSink("no-such-host.invalid:80", studio.snapshots)


def test_open_to_all_is_said(studio):
    for address, said in ((":0", False), ("localhost:0", False), ("0.0.0.0:0", True)):
        sink = WebSink(address, studio.snapshots)
        assert sink.url in sink.announcement
        assert ("every address of this machine, without a password" in sink.announcement) is said
        assert request(sink, "/healthz")[0] == 200
        sink.close()
    assert Address.parse("[::]:80").is_wildcard
    assert Address.parse("[::1]:80").url == "http://[::1]:80/"
