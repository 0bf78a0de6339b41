"""The one place that talks to FFmpeg: open a source, read its frames, say why that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tridet.detections import UInt8Array
from tridet.streaming.hardware import accelerator
from tridet.streaming.redaction import redact
from tridet.streaming.sources import Source

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


class VideoError(Exception):
    """Opening or reading failed; the message is a few words without credentials."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded frame, or the news that one could not be decoded."""

    decoded: av.VideoFrame | None
    """In FFmpeg's own format; None if it was corrupt."""
    captured_at: float
    """When its last packet had been received: seconds since the epoch."""
    captured_s: float
    """The same instant on ``time.monotonic()``."""

    @property
    def pts_s(self) -> float | None:
        """Presentation time in seconds."""
        return None if self.decoded is None else self.decoded.time

    def pixels(self) -> UInt8Array:
        """Return uint8 [h, w, 3], BGR, upright."""
        assert self.decoded is not None
        pixels: UInt8Array = self.decoded.to_ndarray(format="bgr24")  # type: ignore[assignment]
        turns = round(self.decoded.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


class Video:
    """An open source.

    Raises:
        VideoError: it cannot be opened, or holds no video.
    """

    def __init__(self, source: Source) -> None:
        import av
        from av.codec.context import Flags

        self._source = source
        started_s = time.monotonic()
        try:
            self._container = _opened(source)
        except av.FFmpegError as error:
            raise VideoError(_reason(error, started_s, source.connect_timeout_s)) from None
        if not self._container.streams.video:
            self._container.close()
            raise VideoError("it holds no video")
        self._stream = self._container.streams.video[0]
        codec = self._stream.codec_context
        if source.live:
            # Frame threads would each hold a frame back; many cameras fill the cores anyway.
            codec.thread_type = "NONE"
            codec.thread_count = 1
            codec.flags |= Flags.low_delay
        else:
            codec.thread_type = "AUTO"

    def pictures(self) -> Iterator[Picture]:
        """Give the frames until the source ends.

        Raises:
            VideoError: reading failed, or a live source gave nothing to show for its read timeout.
        """
        import av

        last_s = time.monotonic()
        try:
            for packet in self._container.demux():
                captured_at, captured_s = time.time(), time.monotonic()
                for decoded in self._decoded(packet):
                    if decoded is not None:
                        last_s = captured_s
                    yield Picture(decoded, captured_at, captured_s)
                # FFmpeg's own timeout begins anew with each packet, be it sound or garbage.
                if self._source.live and captured_s - last_s > self._source.read_timeout_s:
                    raise VideoError(f"no picture for {self._source.read_timeout_s:g} s")
        except av.FFmpegError as error:
            raise VideoError(_reason(error, last_s, self._source.read_timeout_s)) from None

    def close(self) -> None:
        """Close the connection or the file."""
        self._container.close()

    def _decoded(self, packet: av.Packet[Any]) -> Iterator[av.VideoFrame | None]:
        import av

        if packet.stream.index != self._stream.index:
            return
        try:
            frames = self._stream.codec_context.decode(packet)
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):
            yield None
            return
        except av.error.EOFError:  # flushed twice, as files with several streams are
            return
        for frame in frames:
            yield None if frame.is_corrupt else frame


def _opened(source: Source) -> InputContainer:
    import av

    options, format, place = {}, None, source.location
    if source.is_device:
        format = "v4l2"
    elif source.scheme is None:
        place = f"file:{place}"  # a colon in a file's name would make its beginning a protocol
    elif source.scheme in ("rtsp", "rtsps"):
        options = {
            "rtsp_transport": source.rtsp_transport,
            "allowed_media_types": "video",
            "timeout": _microseconds(source.read_timeout_s),
        }
    elif source.scheme not in ("udp", "rtp", "srt"):
        options = {"rw_timeout": _microseconds(source.read_timeout_s)}
    if source.live:
        # Neither keep what is read while opening, nor read 20 frames to learn the frame rate.
        options |= {"fflags": "nobuffer", "fpsprobesize": "0"}
    # A file needs none: it is there or not.
    waits = source.live or source.scheme is not None
    return av.open(
        place,
        "r",
        format=format,
        options=options,
        timeout=(source.connect_timeout_s, source.read_timeout_s) if waits else None,
        hwaccel=accelerator(source.hwaccel),
    )


def _microseconds(seconds: float) -> str:
    return str(round(seconds * 1e6))


def _reason(error: av.FFmpegError, since_s: float, timeout_s: float) -> str:
    """Say in a few words what went wrong; FFmpeg's message would hold the whole URL."""
    import av

    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f"timed out after {timeout_s:g} s"
    if isinstance(error, av.error.InvalidDataError):
        # So FFmpeg calls the half of an answer that it has when its time is up.
        if time.monotonic() - since_s >= timeout_s:
            return f"timed out after {timeout_s:g} s"
        return "invalid data: not a video, or a damaged one"
    if isinstance(error, av.error.EOFError):
        return "end of stream"
    text = str(error.strerror or type(error).__name__)
    return redact(text[:1].lower() + text[1:])
