"""Publish annotated video to an RTSP, RTMP or SRT server, or as MPEG-TS over UDP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from urllib.parse import quote

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput, SinkFailed
from tridet.streaming.backoff import Backoff
from tridet.streaming.frames import StreamResult
from tridet.streaming.pacing import Pacer
from tridet.streaming.redaction import redact
from tridet.streaming.sinks.h264 import H264Encoder
from tridet.streaming.sinks.link import Link, check_url
from tridet.streaming.sinks.picture import Draw

_PLACEHOLDER = "{name}"
LONGEST_PAUSE_S = 1.0
"""A file is sent at its own pace, but servers take a longer pause for the end."""
_FIRST_STEP_S = 0.04


def publish_targets(url: str, names: Iterable[str]) -> dict[str, str]:
    """Return the URL of each source: ``{name}`` in ``url`` stands for its name.

    Raises:
        InvalidInput: not a URL to publish to, or several sources would share one.
    """
    check_url(url)
    targets = {name: url.replace(_PLACEHOLDER, quote(name, safe="")) for name in names}
    if len(targets) > 1 and _PLACEHOLDER not in url:
        raise InvalidInput(
            f"--publish: expected {_PLACEHOLDER} in the URL, as there are {len(targets)} sources, "
            f"got {redact(url)}"
        )
    return targets


class PublishSink:
    """Publishes the annotated frames of one source, and connects again whenever that fails.

    While there is no connection, frames are discarded and neither drawn nor encoded; connecting
    never blocks.

    Args:
        url: may hold credentials; they are never shown.
        draw: makes the pictures.
        warn: called with one line when the connection fails or is lost, once until it is back.
        pacer: of a file, which comes as fast as it can be read; None sends each frame at once.
        backoff: how long to wait between the attempts to connect.
    """

    def __init__(
        self,
        url: str,
        draw: Draw,
        *,
        warn: Callable[[str], None],
        pacer: Pacer | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        check_url(url)
        self.name = f"--publish {redact(url)}"
        self.discarded = 0
        """Frames that came while there was no connection."""
        self.connections = 0
        """How often the server took the stream."""
        self._url = url
        self._draw = draw
        self._pacer = pacer
        self._warn = warn
        self._backoff = backoff or Backoff()
        self._next_try_s = self._ready_s = self._zero_s = 0.0
        self._link: Link | None = None
        self._encoder: H264Encoder | None = None
        self._failing = self._is_ready = False

    def write(self, result: StreamResult) -> None:
        """Send one frame, or discard it."""
        time_s = result.frame.pts_s
        if self._pacer is not None:
            self._pacer.wait(time_s)
        try:
            self._send(result, time_s)
        except SinkFailed as error:
            self._lost(str(error))

    def close(self) -> None:
        """End the stream."""
        link, self._link = self._link, None
        self._encoder = None
        self._is_ready = False
        if link is not None:
            link.close()

    def _send(self, result: StreamResult, time_s: float) -> None:
        height, width = result.frame.pixels.shape[:2]
        if self._encoder is not None and self._encoder.picture_size != (width, height):
            self.close()  # the server was told the size
        if self._link is None or self._encoder is None:
            if time.monotonic() < self._next_try_s:
                self.discarded += 1
                return
            self._encoder = H264Encoder(width, height)
            self._link = Link(self._url, self._encoder.width, self._encoder.height)
            self._zero_s = time_s
            self._encode(result, time_s)  # the server is told what is in the first packet
            return
        if not self._is_ready:
            if not self._link.ready():
                self.discarded += 1
                return
            self._connected()
            # Servers may drop what comes before they are ready, and take the pause for a gap.
            self._encoder.restart()
            self._zero_s = time_s - _FIRST_STEP_S
        self._encode(result, time_s)

    def _encode(self, result: StreamResult, time_s: float) -> None:
        assert self._link is not None and self._encoder is not None
        pixels: UInt8Array = self._draw(result)
        self._link.send(self._encoder.encode(pixels, time_s - self._zero_s))

    def _connected(self) -> None:
        self.connections += 1
        self._is_ready = True
        self._ready_s = time.monotonic()
        if self._failing:
            self._warn(f"{self.name}: connected again")
        self._failing = False

    def _lost(self, reason: str) -> None:
        now_s = time.monotonic()
        if self._is_ready:
            self._backoff.held(now_s - self._ready_s)
        self.close()
        self.discarded += 1
        self._next_try_s = now_s + self._backoff.next_delay_s()
        if not self._failing:
            self._warn(f"{self.name}: {reason}; trying again")
        self._failing = True
