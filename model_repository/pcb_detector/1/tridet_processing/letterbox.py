"""Letterbox: resize an image to fit a square and pad the rest, as YOLO detectors were trained.

Forward and back. The client resizes before sending (transport ``fit``) with the same function that
the server's preprocess step uses, so both give the same pixels.

The geometry (rounding of the resized sides, halves of the border) is that of Ultralytics'
``LetterBox``.
"""

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]


def fitted_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the (width, height) in pixels of an image scaled to just fit into ``size`` x ``size``.

    A side never rounds down to zero, however long and thin the image is.
    """
    scale = min(size / width, size / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def fit(pixels: UInt8Array, size: int) -> UInt8Array:
    """Resize uint8 [h, w, 3] until its longer side is ``size`` pixels; bilinear, as at training."""
    height, width = pixels.shape[:2]
    fitted = fitted_size(width, height, size)
    if fitted == (width, height):
        return pixels
    resized: UInt8Array = cv2.resize(pixels, fitted, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return resized


def letterbox(pixels: UInt8Array, canvas: UInt8Array) -> Float32Array:
    """Draw ``pixels``, fitted and centred, onto ``canvas`` and say how to undo it.

    Args:
        pixels: uint8 [h, w, 3].
        canvas: uint8 [S, S, 3], already filled with the border grey; only the middle is written.

    Returns:
        float32 [6]: scale_x, scale_y, pad_x, pad_y, width, height. A point at x in the source lies
        at ``x * scale_x + pad_x`` on the canvas. The two scales are those of the *rounded* resize,
        so that the inverse is exact however the sides rounded.
    """
    size = canvas.shape[0]
    height, width = pixels.shape[:2]
    fitted = fit(pixels, size)
    fitted_height, fitted_width = fitted.shape[:2]
    # An odd border puts its extra pixel right and below, as Ultralytics' round(half - 0.1) does.
    left, top = (size - fitted_width) // 2, (size - fitted_height) // 2
    canvas[top : top + fitted_height, left : left + fitted_width] = fitted
    return np.array(
        [fitted_width / width, fitted_height / height, left, top, width, height], dtype=np.float32
    )


def undo_letterbox(boxes: Float32Array, letterbox: Float32Array) -> Float32Array:
    """Map boxes from the canvas back to the source.

    Args:
        boxes: float32 [n, 4], xyxy in letterboxed pixels.
        letterbox: float32 [6], as :func:`letterbox` gives it.

    Returns:
        float32 [n, 4], xyxy in source pixels, clipped to the image.
    """
    scale, pad, size = letterbox[0:2], letterbox[2:4], letterbox[4:6]
    points = (boxes.reshape(-1, 2, 2) - pad) / scale
    clipped: Float32Array = np.clip(points, 0, size).reshape(-1, 4).astype(np.float32)
    return clipped
