"""The one place that talks to FFmpeg: open a source, read its frames, say why that fails.

Which device decodes is chosen here, and what each kind of source is opened with.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput
from tridet.streaming.frames import Frame
from tridet.streaming.redaction import redact
from tridet.streaming.sources import Source

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer


class VideoError(Exception):
    """Opening or reading failed; the message is a few words without credentials."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrame:
    """A frame in FFmpeg's own format; its pixels cost time and are left to who needs them."""

    source: str
    index: int
    """Counts the frames of the source, those that could not be decoded included."""
    captured_at: float
    """When its last packet had been received: seconds since the epoch."""
    captured_s: float
    """The same instant on ``time.monotonic()``."""
    image: av.VideoFrame

    @property
    def pts_s(self) -> float | None:
        """Presentation time in seconds; None where the source has no clock."""
        return self.image.time

    def frame(self) -> Frame:
        """Convert it, upright; call this off the event loop."""
        pixels: UInt8Array = self.image.to_ndarray(format="bgr24")  # type: ignore[assignment]
        turns = round(self.image.rotation / 90) % 4
        return Frame(
            source=self.source,
            index=self.index,
            pts_s=self.pts_s,
            captured_at=self.captured_at,
            captured_s=self.captured_s,
            pixels=np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels,
        )


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

    def frames(self, first_index: int) -> Iterator[DecodedFrame | None]:
        """Give the frames until the source ends, None for each that could not be decoded.

        Args:
            first_index: of the first of them; a source that is connected again counts on.

        Raises:
            VideoError: reading failed, or a live source gave nothing to show for its read timeout.
        """
        import av

        name, index = self._source.name, first_index
        last_s = time.monotonic()
        try:
            for packet in self._container.demux():
                captured_at, captured_s = time.time(), time.monotonic()
                for image in self._decoded(packet):
                    if image is None:
                        yield None
                    else:
                        last_s = captured_s
                        yield DecodedFrame(name, index, captured_at, captured_s, image)
                    index += 1
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
        hwaccel=_accelerator(source.hwaccel),
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


def _accelerator(wish: str) -> HWAccel | None:
    """Return what decodes: None stands for the CPU, as does a codec that the device lacks.

    Args:
        wish: ``none``, ``auto`` (the first device that works, else the CPU) or a device's name.

    Raises:
        InvalidInput: a named device is not one of FFmpeg's, or does not work on this machine.
    """
    from av.codec.hwaccel import HWAccel, hwdevices_available

    if wish == "none":
        return None
    offered = hwdevices_available()
    working = [name for name in (offered if wish == "auto" else [wish]) if _works(name)]
    if working:
        return HWAccel(working[0], allow_software_fallback=True)
    if wish == "auto":
        return None
    raise InvalidInput(
        f"hwaccel: expected a device that decodes on this machine, got {wish!r}; FFmpeg knows "
        f"{', '.join(offered) or 'none'} here; 'auto' falls back to the CPU"
    )


@functools.cache
def _works(name: str) -> bool:
    """Whether the device can be opened; asked once, opening it takes a while."""
    import av
    from av.codec.hwaccel import HWAccel

    try:
        HWAccel(name).create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError, ValueError, KeyError):
        return False
    return True
