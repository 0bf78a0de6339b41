"""The input sizes of a detector, as its manifest gives them."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, TypeAdapter, WrapValidator, model_validator
from pydantic.dataclasses import dataclass
from tridet.processing.parameters import SIZE_STEP

from tridet_build.manifest.toml import STRICT

_Side: TypeAlias = Annotated[int, Field(strict=True, ge=32, le=4096, multiple_of=SIZE_STEP)]
_SIDE: Final[TypeAdapter[int]] = TypeAdapter(_Side)


@dataclass(frozen=True, order=True, config=STRICT)
class Sizes:
    """Sides, in pixels, of the squares that a detector takes: multiples of 32.

    Attributes:
        min: the smallest.
        opt: what a request gets that asks for none; what is tuned for, calibrated and judged.
        max: the largest.
    """

    min: _Side
    opt: _Side
    max: _Side

    @model_validator(mode="after")
    def _ordered(self) -> "Sizes":
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"expected min <= opt <= max, got {self}")
        return self

    @classmethod
    def only(cls, side: int) -> "Sizes":
        """Return the sizes of a detector that takes one."""
        return cls(side, side, side)

    @classmethod
    def of(cls, input_size: "int | Sizes") -> "Sizes":
        """Return the sizes that a number, where there is only one, or they themselves stand for."""
        return cls.only(input_size) if isinstance(input_size, int) else input_size

    @property
    def fixed(self) -> bool:
        """Whether there is only one."""
        return self.min == self.max

    def __str__(self) -> str:
        return str(self.opt) if self.fixed else f"{self.min}/{self.opt}/{self.max}"


def _one_for_all(value: object, table: Any) -> Sizes:
    """Let one number stand for all three; a table is read as the dataclass is."""
    if isinstance(value, (dict, Sizes)):
        sizes: Sizes = table(value)
        return sizes
    return Sizes.only(_SIDE.validate_python(value))


InputSize: TypeAlias = Annotated[Sizes, WrapValidator(_one_for_all)]
"""What a manifest says: a number, or a table of three."""
