"""What the client learns of a model from its configuration on the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tridet._contract import (
    CONTRACT_VERSION,
    DETECTIONS,
    ENCODED,
    ENCODED_SUFFIX,
    IMAGE,
    PARAM_BUILD,
    PARAM_CONTRACT,
    PARAM_DEFAULTS,
    PARAM_INPUT_SIZE,
    PARAM_LABELS,
    PARAM_MAX_PIXELS,
    PARAM_PRECISION,
    PARAM_TASK,
)
from tridet._exceptions import ContractMismatch

_TASK = "detect"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A served detector, as it describes itself."""

    name: str
    labels: tuple[str, ...]
    """Class names; the index is the class id."""
    input_size: int
    """Side of the square that the detector looks at, in pixels."""
    precision: str
    """``fp32``, ``fp16`` or ``int8``."""
    defaults: Mapping[str, Any]
    """Thresholds that apply where none are given."""
    max_pixels: int
    """Largest accepted source image, width times height."""
    build: Mapping[str, Any]
    """Where the served weights come from."""


def model_info_from_config(config: Any, served: tuple[str, ...] = ()) -> ModelInfo:
    """Read the protobuf ``ModelConfig`` of an ensemble.

    Args:
        config: as the server's ModelConfig call returns it.
        served: names of the detectors that the server has, for a hint in the error.

    Raises:
        ContractMismatch: it is not a tridet detector of this client's contract.
    """
    name = config.name
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    if PARAM_CONTRACT not in parameters:
        raise ContractMismatch(
            f"model {name!r} is not a tridet detector: expected its parameter {PARAM_CONTRACT}, "
            f"got none; {_hint(name, served)}"
        )
    version = parameters[PARAM_CONTRACT]
    if version != str(CONTRACT_VERSION):
        raise ContractMismatch(
            f"model {name!r}: expected contract {CONTRACT_VERSION}, got {version}; "
            "install the tridet release that built the model, or build the model again"
        )
    inputs = {tensor.name for tensor in config.input}
    if IMAGE not in inputs:
        raise ContractMismatch(
            f"model {name!r}: expected an input {IMAGE}, got {', '.join(sorted(inputs)) or 'none'}"
            + (f"; {_hint(name, served)}" if ENCODED in inputs else "")
        )
    missing = set(DETECTIONS) - {tensor.name for tensor in config.output}
    if missing:
        raise ContractMismatch(
            f"model {name!r}: expected the outputs {', '.join(DETECTIONS)}, "
            f"missing {', '.join(sorted(missing))}; build the model again"
        )
    reader = _Reader(name, parameters)
    task = reader.text(PARAM_TASK)
    if task != _TASK:
        raise ContractMismatch(
            f"model {name!r}: expected task {_TASK}, got {task}; update tridet (pip install -U)"
        )
    return ModelInfo(
        name=name,
        labels=tuple(str(label) for label in reader.parsed(PARAM_LABELS, list)),
        input_size=reader.parsed(PARAM_INPUT_SIZE, int),
        precision=reader.text(PARAM_PRECISION),
        defaults=reader.parsed(PARAM_DEFAULTS, dict),
        max_pixels=reader.parsed(PARAM_MAX_PIXELS, int),
        build=reader.parsed(PARAM_BUILD, dict),
    )


def detectors_among(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those names that are detectors: each has an ``_encoded`` twin beside it."""
    return tuple(name for name in names if name + ENCODED_SUFFIX in names)


def _hint(name: str, served: tuple[str, ...]) -> str:
    whole = [detector for detector in served if name.startswith(f"{detector}_")]
    if whole:
        return f"{name} is a part of {max(whole, key=len)!r}: use that name"
    if served:
        return f"the server's detectors are {', '.join(served)}"
    return "the server has no tridet detector"


@dataclass(frozen=True, slots=True)
class _Reader:
    model: str
    parameters: Mapping[str, str]

    def text(self, key: str) -> str:
        try:
            return self.parameters[key]
        except KeyError:
            raise ContractMismatch(
                f"model {self.model!r}: expected the parameter {key}, got none; build it again"
            ) from None

    def parsed(self, key: str, kind: type) -> Any:
        text = self.text(key)
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = None
        if type(value) is not kind:
            raise ContractMismatch(
                f"model {self.model!r}: expected {key} to hold a JSON {kind.__name__}, "
                f"got {text[:80]!r}; build it again"
            )
        return value
