"""``build.json`` beside a plan: what it was built from, with and for, and how it was proved."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from tridet.timestamps import utc_text
from tridet.versions import installed_versions

from tridet_build.errors import RecordError
from tridet_build.files import write_atomically
from tridet_build.onnx.file import files_of, weights_sha256
from tridet_build.plan.machine import Gpu
from tridet_build.plan.settings import PlanReport

RECORD_FILE: Final = "build.json"

_CONFIG: Final = ConfigDict(extra="forbid", strict=True)
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Shape: TypeAlias = tuple[int, ...]
# What decides how a plan comes out, or how it was proved.
_TOOLS: Final = (
    "tridet",
    "tridet-build",
    "ultralytics",
    "torch",
    "onnx",
    "onnxruntime",
    "nvidia-modelopt",
    "polygraphy",
    "tensorrt",
    "tensorrt-rtx-cu13",
)


@dataclass(frozen=True, config=_CONFIG)
class File:
    """A file by its name and content."""

    name: str
    sha256: _Hash
    bytes: NonNegativeInt


@dataclass(frozen=True, config=_CONFIG)
class TensorRT:
    """Which TensorRT wrote the plan, and which others may load it."""

    flavour: Literal["tensorrt", "tensorrt-rtx"]
    version: str
    hardware: Literal["none", "ampere_plus", "same_compute_capability"] = "none"
    version_compatible: bool = False


@dataclass(frozen=True, config=_CONFIG)
class Profile:
    """Smallest, best and largest shape of one input."""

    min: _Shape
    opt: _Shape
    max: _Shape


@dataclass(frozen=True, config=_CONFIG)
class CalibrationRecord:
    """What INT8 was calibrated with: a hash over the images and settings."""

    sha256: _Hash
    images: NonNegativeInt
    method: str


@dataclass(frozen=True, config=_CONFIG)
class GateRecord:
    """How a stage was proved: by which figures, against which limits.

    Attributes:
        passed: the verdict.
        figures: by name, ``map_lost_points`` for instance.
        limits: by the same names.
    """

    passed: bool
    figures: dict[str, float]
    limits: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, config=_CONFIG)
class BuildRecord:
    """One build of one detector.

    Attributes:
        detector: its name.
        created: ISO 8601, UTC.
        source: what the user gave: .pt or ONNX.
        onnx: after export and precision, before the serving graph.
        graph: the serving graph.
        plan: beside this record; None where only the ONNX is served.
        tensorrt: what wrote the plan.
        gpu: what it was built on.
        asked, achieved: precision.
        layers: convolutions and matrix products per precision.
        profiles: per input.
        calibration: INT8's.
        gates: by stage: ``precision``, ``plan``.
        tools: versions, by package.
        timings_s: by stage.
        version: of this format.
    """

    detector: str
    created: str
    source: File
    onnx: File
    graph: File
    plan: File | None
    tensorrt: TensorRT | None
    gpu: Gpu | None
    asked: Literal["fp32", "fp16", "int8"]
    achieved: str
    layers: dict[str, int] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None
    gates: dict[str, GateRecord] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    version: Literal[1] = 1

    def summary(self) -> dict[str, str]:
        """Say the main facts, for the ensemble's ``tridet.build``; every client sees them."""
        facts = {
            "weights": self.source.name,
            "weights_sha256": self.source.sha256,
            "precision": self.achieved,
            "created": self.created,
        }
        if self.plan:
            facts["plan_sha256"] = self.plan.sha256
        if self.tensorrt:
            facts["tensorrt"] = self.tensorrt.version
        if self.gpu:
            facts["gpu"] = str(self.gpu)
        if self.gates:
            facts["gates"] = "passed" if all(g.passed for g in self.gates.values()) else "failed"
        return facts


_RECORD: Final = TypeAdapter(BuildRecord)


def record_file(path: Path) -> File:
    """Describe a file; an ONNX that keeps its tensors in others, together with those.

    Raises:
        RecordError: it cannot be read.
    """
    try:
        size = sum(one.stat().st_size for one in files_of(path))
        return File(path.name, weights_sha256(path), size)
    except OSError as error:
        raise RecordError(f"{error.filename}: cannot be read: {error.strerror}") from None


def plan_fields(report: PlanReport, input_name: str) -> dict[str, Any]:
    """Turn what the plan stage reports into fields of a :class:`BuildRecord`, plain values all."""
    smallest, best, largest = report.profile
    settings = report.settings
    tensorrt = TensorRT(
        report.flavour, report.version, settings.hardware, settings.version_compatible
    )
    return {
        "created": utc_text(time.time()),
        "plan": report.plan and asdict(File(report.plan.name, report.sha256, report.bytes)),
        "tensorrt": asdict(tensorrt),
        "gpu": report.gpu and asdict(report.gpu),
        "asked": report.asked,
        "achieved": report.achieved,
        "layers": report.engine or report.network,
        "profiles": {input_name: asdict(Profile(smallest, best, largest))},
    }


def record_from_fields(fields: Mapping[str, Any]) -> BuildRecord:
    """Assemble a record from plain values, such as those of :func:`plan_fields`.

    Raises:
        RecordError: a field is missing, unknown or of another type.
    """
    try:
        return _RECORD.validate_json(json.dumps(dict(fields)))
    except ValidationError as error:
        raise RecordError(f"not a build record: {_first_problem(error)}") from None


def tool_versions() -> dict[str, str]:
    """List the installed packages that decide how a plan comes out."""
    return installed_versions(_TOOLS)


def read_record(path: Path) -> BuildRecord:
    """Read a ``build.json``.

    Raises:
        RecordError: missing, not JSON, or not of this format; one line that names the key.
    """
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path}: no such build record") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise RecordError(f"{path}: not a build record: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}"


def write_record(path: Path, record: BuildRecord) -> None:
    """Write a ``build.json`` in one step.

    Raises:
        RecordError: it cannot be written.
    """
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    try:
        write_atomically(path, text.encode(errors="backslashreplace"))
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from None
