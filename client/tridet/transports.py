"""What is sent for an image, one way per transport, and how the answer maps back to the source.

fit      resized by the client to the request's input size, then raw. The server would make the very
         same resize, so the boxes are the same, and the resolution of the source costs little.
raw      every pixel of the image.
encoded  the image file's bytes, decoded by the server. An array is encoded as JPEG first, which is
         lossy.
shm      every pixel, handed over in shared memory; the server must run on this machine.
auto     the default: fit, through shared memory where the server is found to be on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from tridet.channel import is_loopback
from tridet.exceptions import InvalidInput
from tridet.images import ImageLike, UInt8Array, bytes_of, pixels_of, size_of
from tridet.model import ModelInfo
from tridet.processing.contract import DETECTIONS, ENCODED, ENCODED_SUFFIX, IMAGE
from tridet.processing.letterbox import fit, undo_letterbox

Transport: TypeAlias = Literal["auto", "fit", "raw", "encoded", "shm"]
TRANSPORTS: tuple[Transport, ...] = ("auto", "fit", "raw", "encoded", "shm")

_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Route:
    """What a transport comes to."""

    content: Literal["fit", "raw", "encoded"]
    """What is sent of an image."""
    shared_memory: bool
    """Whether the server finds it in shared memory; over the wire otherwise."""


def route_of(transport: Transport, target: str, *, shm_failed: bool = False) -> Route:
    """Say what is sent and how. All that ``auto`` decides is decided here.

    Args:
        transport: as the user has it.
        target: of the server, ``host:port``.
        shm_failed: whether the server could not open this machine's shared memory.
    """
    if transport == "auto":
        # Behind a loopback address may be a forwarded port: the first attempt tells.
        return Route("fit", is_loopback(target) and not shm_failed)
    return Route("raw", True) if transport == "shm" else Route(transport, False)


@dataclass(frozen=True, slots=True)
class Payload:
    """One image, ready to be sent."""

    model: str
    """The ensemble that takes it."""
    tensor: str
    """IMAGE or ENCODED."""
    data: UInt8Array
    """uint8, contiguous: [h, w, 3] for IMAGE, [n] for ENCODED."""
    image_size: tuple[int, int]
    """(width, height) of the source in pixels."""
    sent_size: tuple[int, int]
    """(width, height) of the image in ``data``: what the server takes for the source."""
    outputs: tuple[str, ...] = DETECTIONS
    """Names of the tensors that are asked for."""

    def in_source_pixels(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map float32 [n, 4] xyxy from the image that was sent to the source, clipped to it."""
        (width, height), (sent_width, sent_height) = self.image_size, self.sent_size
        # The sides are scaled apart, because each was rounded on its own when the client resized.
        sent = [sent_width / width, sent_height / height, 0, 0, width, height]
        return undo_letterbox(boxes, np.array(sent, np.float32))


def prepare(image: ImageLike, route: Route, model: ModelInfo, side: int) -> Payload:
    """Read, decode, resize or encode ``image`` as its route asks.

    Args:
        image: the source.
        route: how it travels.
        model: the detector that gets it.
        side: of the square that the server fits it into, in pixels; see ``ModelInfo.side``.

    Raises:
        InvalidInput: it cannot be read or is not an image that the model accepts.
    """
    if route.content == "encoded":
        return _encoded(image, model)
    pixels = pixels_of(image, model.max_pixels)
    height, width = pixels.shape[:2]
    # An image smaller than the input goes as it is: the server enlarges it, to the same pixels.
    sent = pixels
    if route.content == "fit" and max(width, height) > side:
        sent = fit(pixels, side)
    return Payload(
        model.name, IMAGE, sent, (width, height), (sent.shape[1], sent.shape[0]), _outputs(model)
    )


def is_heavy(image: ImageLike, route: Route, side: int) -> bool:
    """Whether ``prepare`` takes long enough (reading, decoding, a large resize) to block others."""
    if not isinstance(image, np.ndarray) or route.content == "encoded":
        return True
    return route.content == "fit" and image.size > 3 * side**2


def _outputs(model: ModelInfo) -> tuple[str, ...]:
    return tuple(name for names in model.outputs for name in names)


def _encoded(image: ImageLike, model: ModelInfo) -> Payload:
    if isinstance(image, (np.ndarray, PIL.Image.Image)):
        pixels = pixels_of(image, model.max_pixels)
        size = (pixels.shape[1], pixels.shape[0])
        data = _jpeg_from_pixels(pixels)
    else:
        content = bytes_of(image)
        size = size_of(content, model.max_pixels)
        data = np.frombuffer(content, np.uint8)
    return Payload(model.name + ENCODED_SUFFIX, ENCODED, data, size, size, _outputs(model))


def _jpeg_from_pixels(pixels: UInt8Array) -> UInt8Array:
    try:
        _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise InvalidInput(
            f"cannot encode {width} x {height} pixels as JPEG: {error.err}"
        ) from None
    return np.asarray(jpeg, dtype=np.uint8)
