"""Read a TOML file into a frozen dataclass, or say in one line what is wrong with it."""

import json
import sys
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from tridet_build.errors import ManifestError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

STRICT: Final = ConfigDict(extra="forbid", strict=True)
"""Of every dataclass that is read: unknown keys and values of another type are errors."""


def read_toml(path: Path, adapter: TypeAdapter[T]) -> T:
    """Read one file.

    Raises:
        ManifestError: no such file, not TOML, an unknown or missing key, or a value of the wrong
            type or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such manifest") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{path}: not valid TOML: {error}") from None
    try:
        # By way of JSON, where strict still takes an array for a tuple and a string for a path,
        # but not "8" for a number.
        return adapter.validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise ManifestError(f"{path}: {_one_line(error)}") from None


def _one_line(error: ValidationError) -> str:
    return "; ".join(_problem(problem) for problem in error.errors(include_url=False))


def _problem(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "missing":
            return f"{key}: required key is missing"
        case "unexpected_keyword_argument":
            return f"{key}: unknown key"
        case "value_error":  # raised by a validator of the dataclass, which names the keys
            return f"{key}: ".lstrip(": ") + problem["msg"].removeprefix("Value error, ")
        case "dataclass_type":
            return f"{key}: expected a table, got {problem['input']!r}"
        case _:
            return (
                f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {problem['input']!r}"
            )
