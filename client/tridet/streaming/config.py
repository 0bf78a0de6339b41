"""A file of sources, TOML or YAML."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tridet.exceptions import InvalidInput
from tridet.extras import require
from tridet.streaming.redaction import redact
from tridet.streaming.sources import OPTIONS, Source, parse_source
from tridet.streaming.zones import Areas, line_from_numbers, zone_from_numbers

_AREAS = ("zones", "lines")
_SUFFIXES = (".toml", ".yaml", ".yml")


def load_config(path: str | Path) -> list[Source]:
    """Read the sources of a file; relative paths in it start at its folder.

    It holds a list ``source`` of tables (TOML: ``[[source]]``), each with a ``location``, any
    options of ``parse_source``, and ``zones`` and ``lines``: tables of a name to its numbers.

    Raises:
        InvalidInput: no such file, not TOML or YAML, an unknown key, a wrong value, no source, two
            sources of one name.
        MissingExtra: what reads TOML or YAML is not installed.
    """
    path = Path(path)
    tables = _tables(_parsed(path), path)
    sources = []
    for number, table in enumerate(tables, 1):
        try:
            sources.append(_source(table, path.parent))
        except InvalidInput as error:
            raise InvalidInput(f"{path}: source {number}: {error}") from None
    shared = [name for name, count in Counter(one.name for one in sources).items() if count > 1]
    if shared:
        raise InvalidInput(f"{path}: name: expected unique names, got {shared[0]!r} twice or more")
    return sources


def _parsed(path: Path) -> Any:
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"{path}: expected a file *.toml, *.yaml or *.yml")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {_one_line(error)}") from None
    return _from_toml(text, path) if path.suffix.lower() == ".toml" else _from_yaml(text, path)


def _from_toml(text: str, path: Path) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        require("stream", "tomli")
        import tomli as tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path}: not valid TOML: {_one_line(error)}") from None


def _from_yaml(text: str, path: Path) -> Any:
    require("stream", "yaml")
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # Not the whole message, which quotes the line: a password may stand there.
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidInput(f"{path}: not valid YAML: {error.problem}{place}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path}: not valid YAML: {_one_line(error)}") from None


def _tables(content: Any, path: Path) -> list[Any]:
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: expected a list 'source', got {_kind(content)}")
    if unknown := [key for key in content if key != "source"]:
        raise InvalidInput(f"{path}: {unknown[0]}: unknown key, expected 'source'")
    tables = content.get("source")
    if not isinstance(tables, list) or not tables:
        raise InvalidInput(f"{path}: source: expected one or more, got {_kind(tables)}")
    return tables


def _source(table: Any, folder: Path) -> Source:
    if not isinstance(table, dict):
        raise InvalidInput(f"expected a table, got {_kind(table)}")
    keys = ("location", *OPTIONS, *_AREAS)
    if unknown := [key for key in table if key not in keys]:
        raise InvalidInput(f"{unknown[0]}: unknown key, expected one of {', '.join(keys)}")
    if "location" not in table:
        raise InvalidInput("location: required key is missing")
    options = {key: value for key, value in table.items() if key in OPTIONS}
    source = replace(parse_source(table["location"], **options), areas=_areas(table))
    if source.is_file:
        return replace(source, location=str(folder / source.location))
    return source


def _areas(table: dict[str, Any]) -> Areas:
    named = {kind: table.get(kind, {}) for kind in _AREAS}
    for kind, areas in named.items():
        if not isinstance(areas, dict):
            raise InvalidInput(f"{kind}: expected a table of names to numbers, got {_kind(areas)}")
        for name, numbers in areas.items():
            if not isinstance(numbers, list):
                raise InvalidInput(f"{kind}.{name}: expected numbers, got {_kind(numbers)}")
    return Areas(
        tuple(zone_from_numbers(name, numbers) for name, numbers in named["zones"].items()),
        tuple(line_from_numbers(name, numbers) for name, numbers in named["lines"].items()),
    )


def _kind(value: Any) -> str:
    return "nothing" if value is None or value == [] else type(value).__name__


def _one_line(error: Exception) -> str:
    return redact(re.sub(r"\s+", " ", str(error)).strip())
