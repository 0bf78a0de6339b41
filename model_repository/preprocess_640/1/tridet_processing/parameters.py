"""The request parameters, their types and ranges: one rule for both ends of the wire.

The client checks before it sends; the server's steps check what other clients send.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Final

from .contract import AGNOSTIC, CLASSES, CONF, IOU, MAX_DET

SIZE_STEP: Final = 32
"""Every input size is a multiple of it, in pixels: the coarsest stride of YOLO's heads."""


class ParameterError(ValueError):
    """A request parameter has the wrong type or is out of range; names it."""


@dataclass(frozen=True)
class NmsParameters:
    """The request parameters that choose the final detections.

    Attributes:
        conf: smallest score that is kept, in [0, 1].
        iou: largest overlap that two kept boxes of one class may have, in [0, 1].
        max_det: most detections of one image, >= 1.
        agnostic: suppress across classes.
        classes: class ids to keep; None keeps all.

    Raises:
        ParameterError: one of them is not acceptable.
    """

    conf: float
    iou: float
    max_det: int
    agnostic: bool
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_fraction(CONF, self.conf)
        check_fraction(IOU, self.iou)
        check_max_det(self.max_det)
        check_agnostic(self.agnostic)

    def overridden(self, parameters: Mapping[str, object]) -> "NmsParameters":
        """Return these parameters with those of a request put in.

        Parameters of other names are left alone: Triton and other steps have their own.

        Raises:
            ParameterError: one of them is not acceptable.
        """
        known = {name: parameters[name] for name in self.__dataclass_fields__ if name in parameters}
        if CLASSES in known:
            known[CLASSES] = class_ids_from_text(known[CLASSES])
        return replace(self, **known) if known else self  # type: ignore[arg-type]


def check_fraction(name: str, value: object) -> float:
    """Return ``conf`` or ``iou``, as ``name`` says, if it is a number in [0, 1].

    Raises:
        ParameterError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ParameterError(f"{name}: expected a number from 0 to 1, got {value!r}")
    return float(value)


def check_max_det(value: object) -> int:
    """Return ``max_det`` if it is an integer of 1 or more.

    Raises:
        ParameterError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ParameterError(f"{MAX_DET}: expected an integer of 1 or more, got {value!r}")
    return int(value)


def check_agnostic(value: object) -> bool:
    """Return ``agnostic`` if it is a bool.

    Raises:
        ParameterError: it is not.
    """
    if not isinstance(value, bool):
        raise ParameterError(f"{AGNOSTIC}: expected true or false, got {value!r}")
    return value


def text_from_class_ids(class_ids: Iterable[int]) -> str:
    """Return ``classes`` as it is sent."""
    return ",".join(str(class_id) for class_id in class_ids)


def class_ids_from_text(value: object) -> tuple[int, ...]:
    """Return the class ids that ``classes``, as it is sent, stands for.

    Raises:
        ParameterError: it is no text, or holds something else.
    """
    if not isinstance(value, str):
        raise ParameterError(f"{CLASSES}: expected a string like '0,2', got {value!r}")
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ParameterError(f"{CLASSES}: expected comma-separated class indices, got {value!r}")
    return tuple(int(part) for part in parts)


def check_imgsz(imgsz: object, smallest: int, largest: int) -> int:
    """Return ``imgsz`` if a detector takes images letterboxed to that size.

    Args:
        imgsz: as the caller gave it.
        smallest, largest: the detector's input sizes, in pixels; equal where there is only one.

    Raises:
        ParameterError: not a number of pixels, or not one of the detector's.
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
    raise ParameterError(f"imgsz: expected {wanted}, got {imgsz!r}")
