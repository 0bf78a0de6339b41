"""Which input sizes a detector takes: one rule for both ends of the wire.

The client checks before it sends; the preprocess step checks what other clients send.
"""

from numbers import Integral
from typing import Final

SIZE_STEP: Final = 32
"""Every input size is a multiple of it, in pixels: the coarsest stride of YOLO's heads."""


class ImgszError(ValueError):
    """The detector does not take this input size; says which it takes."""


def check_imgsz(imgsz: object, smallest: int, largest: int) -> int:
    """Return ``imgsz`` if a detector takes frames letterboxed to that size.

    Args:
        imgsz: as the caller gave it.
        smallest, largest: the detector's input sizes, in pixels; equal where there is only one.

    Raises:
        ImgszError: not a number of pixels, or not one of the detector's.
    """
    if (
        isinstance(imgsz, Integral)
        and smallest <= int(imgsz) <= largest
        and int(imgsz) % SIZE_STEP == 0
    ):
        return int(imgsz)
    wanted = (
        f"{smallest}, this model's only input size"
        if smallest == largest
        else f"a multiple of {SIZE_STEP} from {smallest} to {largest}"
    )
    raise ImgszError(f"imgsz: expected {wanted}, got {imgsz!r}")
