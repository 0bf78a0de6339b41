"""What the client learns of a model from its configuration on the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tridet.exceptions import ContractMismatch, InvalidInput
from tridet.groups import MemberInfo, combined_labels
from tridet.processing.contract import (
    AGNOSTIC,
    CONF,
    CONTRACT_VERSION,
    DETECTIONS,
    ENCODED,
    ENCODED_SUFFIX,
    GROUP_CONTRACT_VERSION,
    IMAGE,
    IOU,
    MAX_DET,
    PARAM_BUILD,
    PARAM_CONTRACT,
    PARAM_DEFAULTS,
    PARAM_GROUP,
    PARAM_INPUT_SIZE,
    PARAM_INPUT_SIZES,
    PARAM_LABELS,
    PARAM_MAX_PIXELS,
    PARAM_PRECISION,
    PARAM_TASK,
    member_output,
)
from tridet.processing.parameters import ParameterError, check_imgsz

_TASK = "detect"
# What PARAM_GROUP says of each member.
_MEMBER = {"name": str, "labels": list, "precision": str, "defaults": dict, "build": dict}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A served detector, or a group of them, as it describes itself."""

    name: str
    labels: tuple[str, ...]
    """Class names; the index is the class id. Of a group those of its members one after the other,
    ``member/label`` where two share one."""
    input_size: int
    """Side of the square that the detector looks at unless ``imgsz`` says otherwise, in pixels."""
    precision: str
    """``fp32``, ``fp16`` or ``int8``; ``mixed`` where a group's members differ."""
    defaults: Mapping[str, Any]
    """Thresholds that apply where none are given; of a group those that its members share."""
    max_pixels: int
    """Largest accepted source image, width times height."""
    build: Mapping[str, Any]
    """Where the served weights come from; of a group that of each member, by its name."""
    input_sizes: tuple[int, int]
    """Smallest and largest ``imgsz``; both are ``input_size`` where that is fixed."""
    members: tuple[MemberInfo, ...]
    """The detectors of a group; a detector that is no group is its own and only member."""

    @property
    def outputs(self) -> tuple[tuple[str, ...], ...]:
        """The names that DETECTIONS have, of each member."""
        return _outputs(self.members)

    def side(self, imgsz: int | None) -> int:
        """Return the side of the square to fit an image into, in pixels; None asks for the usual.

        Raises:
            InvalidInput: the detector does not take that size.
        """
        if imgsz is None:
            return self.input_size
        try:
            return check_imgsz(imgsz, *self.input_sizes)
        except ParameterError as error:
            raise InvalidInput(str(error)) from None


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
    known = GROUP_CONTRACT_VERSION if PARAM_GROUP in parameters else CONTRACT_VERSION
    if version != str(known):
        raise ContractMismatch(
            f"model {name!r}: expected contract {known}, got {version}; "
            "install the tridet release that built the model, or build the model again"
        )
    inputs = {tensor.name for tensor in config.input}
    if IMAGE not in inputs:
        raise ContractMismatch(
            f"model {name!r}: expected an input {IMAGE}, got {', '.join(sorted(inputs)) or 'none'}"
            + (f"; {_hint(name, served)}" if ENCODED in inputs else "")
        )
    reader = _Reader(name, parameters)
    members = _members(reader)
    outputs = [output for names in _outputs(members) for output in names]
    missing = set(outputs) - {tensor.name for tensor in config.output}
    if missing:
        raise ContractMismatch(
            f"model {name!r}: expected the outputs {', '.join(outputs)}, "
            f"missing {', '.join(sorted(missing))}; build the model again"
        )
    task = reader.text(PARAM_TASK)
    if task != _TASK:
        raise ContractMismatch(
            f"model {name!r}: expected task {_TASK}, got {task}; update tridet (pip install -U)"
        )
    precisions = {member.precision for member in members}
    return ModelInfo(
        name=name,
        labels=combined_labels([(member.name, member.labels) for member in members]),
        input_size=reader.parsed(PARAM_INPUT_SIZE, int),
        precision=members[0].precision if len(precisions) == 1 else "mixed",
        defaults={
            key: value
            for key, value in members[0].defaults.items()
            if all(member.defaults.get(key) == value for member in members)
        },
        max_pixels=reader.parsed(PARAM_MAX_PIXELS, int),
        build={member.name: member.build for member in members}
        if PARAM_GROUP in parameters
        else members[0].build,
        input_sizes=_input_sizes(reader),
        members=members,
    )


def _outputs(members: tuple[MemberInfo, ...]) -> tuple[tuple[str, ...], ...]:
    if len(members) == 1:
        return (DETECTIONS,)
    return tuple(
        tuple(member_output(member.name, output) for output in DETECTIONS) for member in members
    )


def _members(reader: _Reader) -> tuple[MemberInfo, ...]:
    if PARAM_GROUP not in reader.parameters:
        labels = tuple(str(label) for label in reader.parsed(PARAM_LABELS, list))
        return (
            MemberInfo(
                name=reader.model,
                labels=labels,
                class_ids=range(len(labels)),
                precision=reader.text(PARAM_PRECISION),
                defaults=reader.parsed(PARAM_DEFAULTS, dict),
                build=reader.parsed(PARAM_BUILD, dict),
            ),
        )
    members: list[MemberInfo] = []
    start = 0
    for entry in reader.objects(PARAM_GROUP, _MEMBER):
        missing = {CONF, IOU, MAX_DET, AGNOSTIC} - entry["defaults"].keys()
        if missing:
            raise ContractMismatch(
                f"model {reader.model!r}: expected defaults of every threshold in {PARAM_GROUP}, "
                f"missing {', '.join(sorted(missing))}; build it again"
            )
        labels = tuple(str(label) for label in entry["labels"])
        class_ids = range(start, start + len(labels))
        members.append(MemberInfo(**{**entry, "labels": labels, "class_ids": class_ids}))
        start = class_ids.stop
    if len(members) < 2:
        raise ContractMismatch(
            f"model {reader.model!r}: expected two members or more in {PARAM_GROUP}, "
            f"got {len(members)}; build it again"
        )
    return tuple(members)


def _input_sizes(reader: _Reader) -> tuple[int, int]:
    if PARAM_INPUT_SIZES not in reader.parameters:
        size = reader.parsed(PARAM_INPUT_SIZE, int)
        return size, size
    smallest, largest = reader.integers(PARAM_INPUT_SIZES, 2)
    return smallest, largest


def detectors_among(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those names that are detectors: each has an ``_encoded`` twin beside it."""
    return tuple(name for name in names if name + ENCODED_SUFFIX in names)


def members_from_config(config: Any) -> tuple[str, ...]:
    """Return the names of a group's members; none for any other model."""
    try:
        members = model_info_from_config(config).members
    except ContractMismatch:
        return ()
    return tuple(member.name for member in members) if len(members) > 1 else ()


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

    def objects(self, key: str, kinds: Mapping[str, type]) -> list[dict[str, Any]]:
        """Return a list of JSON objects that have these keys, and only these."""
        values: list[dict[str, Any]] = []
        for value in self.parsed(key, list):
            if not isinstance(value, dict) or any(
                type(value.get(name)) is not kind for name, kind in kinds.items()
            ):
                raise ContractMismatch(
                    f"model {self.model!r}: expected {key} to hold objects with "
                    f"{', '.join(kinds)}, got {json.dumps(value)[:80]}; build it again"
                )
            values.append({name: value[name] for name in kinds})
        return values

    def integers(self, key: str, count: int) -> list[int]:
        values: list[int] = self.parsed(key, list)
        if [type(value) for value in values] != [int] * count:
            raise ContractMismatch(
                f"model {self.model!r}: expected {key} to hold {count} integers, got "
                f"{self.text(key)[:80]!r}; build it again"
            )
        return values

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
