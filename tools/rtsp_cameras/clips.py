"""Draw and encode what a camera shows: a window that wanders over a board, in a seamless loop."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from rtsp_cameras.counter import LIMIT, UInt8Array, draw_counter

_SAMPLES = Path(__file__).resolve().parents[2] / "models" / "pcb" / "samples"
# How many times larger the board is than what a camera sees of it.
_BOARD_PER_VIEW = 1.4
_KEY_EVERY_S = 0.5


def write_clip(
    folder: Path, name: str, board: int, size: tuple[int, int], fps: int, frames: int
) -> Path:
    """Encode one loop and return the file of its frames; beside it lies an index of the same stem.

    Args:
        folder: where both files go.
        name: their stem.
        board: which of the sample boards is seen.
        size: width and height, pixels.
        fps: frames per second.
        frames: length of the loop; the number in the pictures runs from 0 to ``frames - 1``.
    """
    if not 0 < frames <= LIMIT:
        raise ValueError(f"frames: expected 1 to {LIMIT}, got {frames}")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(fps), Fraction(1, fps)
    encoder.gop_size = max(1, round(fps * _KEY_EVERY_S))
    encoder.thread_count = 1  # else a slice per thread, and the clip depends on the machine
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26"}
    packets = []
    for picture in _pictures(board, size, frames):
        packets += encoder.encode(av.VideoFrame.from_ndarray(picture, format="bgr24"))
    packets += encoder.encode(None)
    target = folder / f"{name}.h264"
    target.write_bytes(b"".join(bytes(packet) for packet in packets))
    index = {
        "fps": fps,
        "sizes": [packet.size for packet in packets],
        "keys": [packet.is_keyframe for packet in packets],
    }
    target.with_suffix(".json").write_text(json.dumps(index), encoding="utf-8")
    return target


def _pictures(board: int, size: tuple[int, int], frames: int) -> list[UInt8Array]:
    width, height = size
    photo = _board_photo(board, round(width * _BOARD_PER_VIEW), round(height * _BOARD_PER_VIEW))
    slack_y, slack_x = photo.shape[0] - height, photo.shape[1] - width
    pictures = []
    for number, turn in enumerate(np.linspace(0, 2 * np.pi, frames, endpoint=False)):
        # Whole turns in both directions, so that the loop has no seam.
        left = round(slack_x * (1 + np.sin(2 * turn + board)) / 2)
        top = round(slack_y * (1 + np.cos(3 * turn)) / 2)
        picture = photo[top : top + height, left : left + width].copy()
        draw_counter(picture, number)
        pictures.append(picture)
    return pictures


def _board_photo(board: int, width: int, height: int) -> UInt8Array:
    """Return a sample board that covers at least this size, its aspect ratio kept."""
    paths = sorted(_SAMPLES.glob("*.jpg"))
    photo = cv2.imread(str(paths[board % len(paths)]))
    if photo is None:
        raise FileNotFoundError(f"{paths[board % len(paths)]} cannot be read")
    scale = max(width / photo.shape[1], height / photo.shape[0])
    target = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return np.asarray(cv2.resize(photo, target, interpolation=cv2.INTER_AREA), np.uint8)
