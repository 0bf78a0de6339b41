"""Encode pictures as H.264."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2

from tridet.detections import UInt8Array

if TYPE_CHECKING:
    from av.packet import Packet

TIME_BASE = Fraction(1, 90_000)
"""Seconds per tick of a packet's times; fine enough to keep any frame time."""

# Where a player can begin, and where a viewer of a live stream can join.
_KEYFRAME_S = 2.0


class H264Encoder:
    """Encodes pictures of one size, each at its own time.

    Args:
        width, height: of the pictures in pixels. H.264 with the pixel format that every browser
            plays needs even sizes: an odd one gets its last row or column twice.
        threads: of the encoder; 0 for as many as the machine has cores.
    """

    def __init__(self, width: int, height: int, threads: int = 0) -> None:
        from av import CodecContext
        from av.video.codeccontext import VideoCodecContext
        from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

        self.picture_size = (width, height)
        """(width, height) of the pictures it takes."""
        self.width, self.height = width + width % 2, height + height % 2
        context = CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = self.width, self.height
        context.pix_fmt = "yuv420p"
        context.time_base = TIME_BASE
        context.framerate = Fraction(30)  # a hint for the rate control; the times are the packets'
        context.thread_count = threads
        # Said in the file, as players guess by the size and get the colours wrong.
        context.colorspace = Colorspace.ITU709
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        # No frame is held back: what was written is in the file, whenever the program dies.
        context.options = {"preset": "superfast", "tune": "zerolatency", "crf": "23"}
        context.open()
        self._context = context
        self._keyframe_s: float | None = None

    def encode(self, pixels: UInt8Array, time_s: float) -> list[Packet[Any]]:
        """Return the packets of a picture.

        Args:
            pixels: uint8 [h, w, 3], BGR.
            time_s: of the frame, later than that of the one before.
        """
        from av import VideoFrame
        from av.video.frame import PictureType
        from av.video.reformatter import Colorspace

        height, width = pixels.shape[:2]
        if (self.width, self.height) != (width, height):
            right, bottom = self.width - width, self.height - height
            pixels = cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        frame = VideoFrame.from_ndarray(pixels, format="bgr24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        frame.pts = round(time_s / TIME_BASE)
        frame.time_base = TIME_BASE
        if self._keyframe_s is None or time_s - self._keyframe_s >= _KEYFRAME_S:
            frame.pict_type = PictureType.I
            self._keyframe_s = time_s
        return self._context.encode(frame)

    def restart(self) -> None:
        """Make the next picture one that a player can begin with."""
        self._keyframe_s = None

    def finish(self) -> list[Packet[Any]]:
        """Return the packets that were held back."""
        return self._context.encode(None)
