"""The one place that talks to FFmpeg: open a source, read its frames, say why that fails.

Which device decodes is chosen here, and what each kind of source is opened with.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput
from tridet.streaming.clock import FrameClock, Timing
from tridet.streaming.frames import Frame
from tridet.streaming.redaction import redact
from tridet.streaming.sources import Source

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Others take it for a promise of no B-frames, and give those of a broadcast in decoding order.
_LOW_DELAY_CODECS = ("h264", "hevc")
# Of libavformat's formats: FFmpeg makes their times up; their times may begin anew.
_NO_TIMESTAMPS, _TS_DISCONT = 0x80, 0x200
_COMMON_RATE = 25  # FFmpeg's own guess where there is nothing to go by
# Above this, a frame rate is a mistake of whoever wrote it: the ticks of its clock, for instance.
_HIGHEST_RATE = 1000
# What FFmpeg's command takes for a jump: of a format whose times may begin anew, and of the others.
_DISCONTINUITY_S, _ERROR_S = 10.0, 30 * 3600.0
# Beyond any picture, as in FFmpeg's command: the stream that is marked as the default is the best.
_DEFAULT_BONUS_PX = 5_000_000


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
    pts_s: float
    """Presentation time in seconds, on the clock of its source; see ``FrameClock``."""
    image: av.VideoFrame

    def arriving_now(self) -> DecodedFrame:
        """Return it as if it had been received at this moment."""
        return replace(self, captured_at=time.time(), captured_s=time.monotonic())

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

    Of several video streams the one is read that FFmpeg's command would take: marked as the
    default, else the largest, and no picture that is attached, such as the cover of an album.

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
        best = _best_video(self._container)
        if best is None:
            self._container.close()
            raise VideoError("it holds no video")
        self._stream = best
        for stream in self._container.streams:
            if stream is not best:
                # Neither read nor, of a playlist with variants, fetched.
                stream.discard = av.stream.Discard.all
        codec = best.codec_context
        if source.live:
            # Frame threads would each hold a frame back; many cameras fill the cores anyway.
            codec.thread_type = "NONE"
            codec.thread_count = 1
            if codec.name in _LOW_DELAY_CODECS:
                codec.flags |= Flags.low_delay
        else:
            codec.thread_type = "AUTO"

    def frames(self, first_index: int, clock: FrameClock) -> Iterator[DecodedFrame | None]:
        """Give the frames until the source ends, None for each that could not be decoded.

        Args:
            first_index: of the first of them; a source that is connected again counts on.
            clock: of the source, gives the frames their times.

        Raises:
            VideoError: reading failed, or a live source gave nothing to show for its read timeout.
        """
        import av

        name, index = self._source.name, first_index
        clock.begin(self._timing())
        last_s = time.monotonic()
        try:
            for packet in self._container.demux():
                captured_at, captured_s = time.time(), time.monotonic()
                for image in self._decoded(packet):
                    if image is None:
                        if self._format_has(_NO_TIMESTAMPS):
                            clock.at(None, None, captured_s)  # it took its time nevertheless
                        yield None
                    else:
                        last_s = captured_s
                        pts_s = clock.at(*self._times(image), captured_s)
                        yield DecodedFrame(name, index, captured_at, captured_s, pts_s, image)
                    index += 1
                # FFmpeg's own timeout begins anew with each packet, be it sound or garbage.
                if self._source.live and captured_s - last_s > self._source.read_timeout_s:
                    raise VideoError(f"no picture for {self._source.read_timeout_s:g} s")
        except av.FFmpegError as error:
            raise VideoError(_reason(error, last_s, self._source.read_timeout_s)) from None

    def close(self) -> None:
        """Close the connection or the file."""
        self._container.close()

    def _timing(self) -> Timing:
        if self._source.live and not self._source.is_file:
            return Timing(None, _DISCONTINUITY_S)
        rate = self._stream.guessed_rate or self._stream.average_rate
        if rate is None or not 0 < rate <= _HIGHEST_RATE:
            rate = Fraction(_COMMON_RATE)
        may_jump = self._format_has(_TS_DISCONT)
        return Timing(float(1 / rate), _DISCONTINUITY_S if may_jump else _ERROR_S)

    def _times(self, image: av.VideoFrame) -> tuple[float | None, float | None]:
        """Return the presentation and the decoding time, in seconds, if the source has them."""
        if self._format_has(_NO_TIMESTAMPS):
            return None, None  # FFmpeg counts up at a rate that it has made up
        base, dts = image.time_base, image.dts
        dts_s = None if base is None or dts is None else float(base * dts)
        # An AVI numbers its frames in the order of decoding, and knows no other.
        return None if self._container.format.name == "avi" else image.time, dts_s

    def _format_has(self, flag: int) -> bool:
        return bool(self._container.format.flags & flag)

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


def _best_video(container: InputContainer) -> VideoStream | None:
    from av.stream import Disposition

    def score(stream: VideoStream) -> int:
        codec = stream.codec_context
        bonus = _DEFAULT_BONUS_PX if stream.disposition & Disposition.default else 0
        return codec.width * codec.height + bonus

    # Not streams.best("video"), which compares bit rates: the variants of a playlist have none.
    films = [
        one for one in container.streams.video if not one.disposition & Disposition.attached_pic
    ]
    return max(films, key=score, default=None)


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
