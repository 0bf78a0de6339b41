"""Spans of values, and the input sizes of a detector, which are one."""

from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import Field, PositiveInt, TypeAdapter, WrapValidator, model_validator
from pydantic.dataclasses import dataclass
from tridet.processing.parameters import SIZE_STEP

from tridet_build.manifest.toml import STRICT

_Side: TypeAlias = Annotated[int, Field(strict=True, ge=32, le=4096, multiple_of=SIZE_STEP)]
_SIDE: Final[TypeAdapter[int]] = TypeAdapter(_Side)
_Self = TypeVar("_Self", bound="Span")


@dataclass(frozen=True, order=True, config=STRICT)
class Span:
    """Smallest, usual and largest of some values.

    Attributes:
        min: the smallest.
        opt: what is tuned for.
        max: the largest.
    """

    min: PositiveInt
    opt: PositiveInt
    max: PositiveInt

    @model_validator(mode="after")
    def _ordered(self: _Self) -> _Self:
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"expected min <= opt <= max, got {self}")
        return self

    @classmethod
    def only(cls: type[_Self], value: int) -> _Self:
        """Return the span of one value."""
        return cls(value, value, value)

    @classmethod
    def of(cls: type[_Self], value: "int | _Self") -> _Self:
        """Return the span that a number, where there is only one, or a span itself stands for."""
        return cls.only(value) if isinstance(value, int) else value

    @property
    def fixed(self) -> bool:
        """Whether there is only one."""
        return self.min == self.max

    def __str__(self) -> str:
        return str(self.opt) if self.fixed else f"{self.min}/{self.opt}/{self.max}"


@dataclass(frozen=True, order=True, config=STRICT)
class Sizes(Span):
    """Sides, in pixels, of the squares that a detector takes: multiples of 32.

    ``opt`` is what a request gets that asks for none; what is tuned for, calibrated and judged.
    """

    min: _Side
    opt: _Side
    max: _Side


def _one_for_all(value: object, table: Any) -> Sizes:
    """Let one number stand for all three; a table is read as the dataclass is."""
    if isinstance(value, (dict, Sizes)):
        sizes: Sizes = table(value)
        return sizes
    return Sizes.only(_SIDE.validate_python(value))


InputSize: TypeAlias = Annotated[Sizes, WrapValidator(_one_for_all)]
"""What a manifest says: a number, or a table of three."""
