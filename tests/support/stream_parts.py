"""What the tests of streams share: a watched capture, real videos, servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from rtsp_cameras.counter import draw_counter
from tridet.streaming.backoff import Backoff
from tridet.streaming.capture import Capture
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.sources import parse_source
from tridet.streaming.stats import SourceStats
from tridet.streaming.video import DecodedFrame

# Only a hang takes so long; then the test fails instead of waiting on.
_PATIENCE_S = 30.0


class Watched:
    """A capture with its queue and stats; as a context manager it runs and is stopped."""

    def __init__(self, location: str, **options: Any) -> None:
        self.source = parse_source(location, **options)
        self.stats = SourceStats(self.source.name)
        self.queue = FrameQueue(self.source.policy, self.stats)
        self.capture = Capture(
            self.source, self.queue, self.stats, backoff=Backoff(0.05, 0.2, good_after_s=0.2)
        )

    def __enter__(self) -> Watched:
        self.capture.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.stop()

    def take(self, count: int | None = None) -> list[DecodedFrame]:
        """Return the next frames; fewer, or with None all, up to the end."""

        async def take() -> list[DecodedFrame]:
            taken: list[DecodedFrame] = []
            while count is None or len(taken) < count:
                decoded = await self.queue.get()
                if decoded is None:
                    break
                taken.append(decoded)
            return taken

        return asyncio.run(asyncio.wait_for(take(), _PATIENCE_S))

    def until(self, holds: Callable[[SourceStats], bool]) -> None:
        """Wait until something holds of the stats."""
        wait_until(lambda: holds(self.stats), lambda: str(self.stats.snapshot()))


def wait_until(holds: Callable[[], bool], described: Callable[[], str] = str) -> None:
    """Wait until something holds; fail with the description if it never does."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, described()
        time.sleep(0.01)


def indices_in(queue: FrameQueue) -> list[int]:
    """Return the indices of the frames that it gives until its end."""

    async def take() -> list[int]:
        indices = []
        while (decoded := await queue.get()) is not None:
            indices.append(decoded.index)
        return indices

    return asyncio.run(take())


def write_video(path: Path, frames: int, size: tuple[int, int] = (320, 240), fps: int = 25) -> Path:
    """Encode a video whose pictures carry their number."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", fps, options={"preset": "ultrafast", "g": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        texture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        for number in range(frames):
            picture = np.roll(texture, number, axis=1)
            draw_counter(picture, number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return path


class FaultyServer:
    """Accepts connections on a free port and treats each as ``behave`` does, on its own thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._behave(connection)


def say_nothing(connection: socket.socket) -> None:
    """Listen to everything and never answer."""
    while connection.recv(4096):
        pass


def talk_rtsp_then_garbage(connection: socket.socket) -> None:
    """Promise H.264 as a camera does, then send noise in RTP packets, and in the end bare noise."""
    while True:
        request = connection.recv(65536).decode("latin-1")
        if not request:
            return
        method, sequence = request.split()[0], request.split("CSeq: ")[1].split()[0]
        connection.sendall(_answer(method, sequence).encode())
        if method == "PLAY":
            break
    noise = random.Random(4)
    for number in range(200):
        header = struct.pack(">BBHII", 0x80, 0x80 | 96, number, number * 3600, 1)
        packet = header + b"\x41" + noise.randbytes(200)
        connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        time.sleep(0.005)
    while True:
        connection.sendall(noise.randbytes(1000))
        time.sleep(0.005)


def _answer(method: str, sequence: str) -> str:
    head, body = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n", ""
    if method == "OPTIONS":
        head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
    elif method == "DESCRIBE":
        body = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
            "a=fmtp:96 packetization-mode=1;"
            "sprop-parameter-sets=Z0LAH9oCgPaEAAADAAQAAAMAyjxgxqA=,aM48gA==\r\n"
        )
        head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
    elif method == "SETUP":
        head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
    else:
        head += "Session: 1\r\n"
    return head + "\r\n" + body
