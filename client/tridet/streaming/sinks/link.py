"""A connection that takes H.264 packets and never blocks for long, whatever the server does."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tridet.exceptions import InvalidInput, SinkFailed
from tridet.streaming.redaction import redact
from tridet.streaming.sinks.publisher import PACKET, READY

if TYPE_CHECKING:
    from av.packet import Packet

# A server that takes nothing for so long is given up.
_TIMEOUT_S = 5.0
_CLOSE_S = 2.0

_RTSP = ("rtsp", {"rtsp_transport": "tcp", "timeout": str(round(_TIMEOUT_S * 1e6))})
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": ("flv", {}),
    "rtmps": ("flv", {}),
    "srt": ("mpegts", {}),
    "udp": ("mpegts", {}),
}


def check_url(url: str) -> None:
    """Refuse what cannot be published to.

    Raises:
        InvalidInput: not a URL of a known scheme with a host.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that no IPv6 address closes
        parts = urlsplit("")
    if parts.scheme not in _FORMATS or not parts.netloc:
        expected = ", ".join(f"{scheme}://" for scheme in _FORMATS)
        raise InvalidInput(
            f"--publish: expected a URL that begins with one of {expected}, got {redact(url)}"
        )


class Link:
    """One attempt to publish one stream, ready once the server has taken its first packets.

    Args:
        url: as ``check_url`` takes it.
        width, height: of the video in pixels.
    """

    def __init__(self, url: str, width: int, height: int) -> None:
        format, options = _FORMATS[urlsplit(url).scheme]
        self._started_s = time.monotonic()
        self._ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tridet.streaming.sinks.publisher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; the end of its input ends it
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        for pipe in (self._input, self._output):
            os.set_blocking(pipe.fileno(), False)
        # On stdin and not as an argument, where everybody could read the password.
        head = {"url": url, "format": format, "options": options, "width": width, "height": height}
        self._write(json.dumps(head).encode() + b"\n")

    def ready(self) -> bool:
        """Return whether the server takes the stream; at once.

        Raises:
            SinkFailed: it does not, or has not answered in time; the message is the reason alone.
        """
        if not self._ready:
            answer = self._output.read()  # None: nothing yet; empty: it has ended
            if answer == READY:
                self._ready = True
            elif answer is not None:
                reason = answer.decode(errors="replace").strip() or "connection lost"
                raise SinkFailed(redact(reason))
            elif time.monotonic() - self._started_s > _TIMEOUT_S:
                raise SinkFailed(f"no answer within {_TIMEOUT_S:g} s")
        return self._ready

    def send(self, packets: Iterable[Packet[Any]]) -> None:
        """Send packets, their times in ticks of ``TIME_BASE``.

        Raises:
            SinkFailed: the server has gone, or takes nothing; the message is the reason alone.
        """
        for packet in packets:
            content = bytes(packet)
            self._write(PACKET.pack(packet.pts or 0, packet.is_keyframe, len(content)) + content)

    def close(self) -> None:
        """End the stream and the process; within seconds."""
        try:
            self._input.close()
            self._process.wait(_CLOSE_S if self._ready else 0)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _write(self, content: bytes) -> None:
        until_s = time.monotonic() + _TIMEOUT_S
        while content:
            left_s = until_s - time.monotonic()
            if not select.select([], [self._input], [], max(0.0, left_s))[1]:
                raise SinkFailed(f"the server took nothing for {_TIMEOUT_S:g} s")
            try:
                content = content[os.write(self._input.fileno(), content) :]
            except BrokenPipeError:
                reason = (self._output.read() or b"").removeprefix(READY).decode(errors="replace")
                raise SinkFailed(redact(reason.strip() or "connection lost")) from None
