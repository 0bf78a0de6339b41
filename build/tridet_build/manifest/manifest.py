"""The manifest of a detector, ``models/<name>/detector.toml``: the one place for each of its facts.

Parsed into frozen dataclasses here and nowhere else. Later stages take a :class:`Manifest` and can
rely on it: types, ranges and the files it names have been checked.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from tridet_build.errors import ManifestError
from tridet_build.manifest.sizes import InputSize, Sizes
from tridet_build.manifest.toml import STRICT, read_toml
from tridet_build.onnx.layouts import Layout

MANIFEST_FILE = "detector.toml"
PUBLISHED = re.compile(
    r"yolo(v5[nsmlx]6?u|v8[nsmlx]|v9[tsmce]|v10[nsmblx]|(11|12|26)[nsmlx])"
    r"(?:-(?P<task>seg|sem|cls|pose|obb|depth))?(?:\.pt)?"
)
"""Detectors that Ultralytics fetches by name; a suffix (-seg) is that of another task."""

_Fraction = Annotated[float, Field(ge=0, le=1)]
# What Triton and every file system take as a folder name, and a shell needs no quotes for.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
_Label = Annotated[str, Field(min_length=1)]

WEIGHTS = (".onnx", ".pt")
_ENGINES = (".engine", ".plan", ".trt")


def not_weights(path: Path, expected: str = "an .onnx or an Ultralytics .pt file") -> str:
    """Say why a file is none that a detector can be built from, and what to use."""
    if path.suffix in _ENGINES:
        return (
            f"expected {expected}, got the engine {path.name}: engines are not served, for one "
            "runs only on the GPU and the TensorRT that it was built with; give the .pt or .onnx "
            "that it was made from, and `make plan` builds the plan where it is served"
        )
    return f"expected {expected}, got {path.suffix or path.name!r}"


@dataclass(frozen=True, config=STRICT)
class DefaultThresholds:
    """Defaults of the request parameters; see the contract for their meaning."""

    conf: _Fraction = 0.25
    iou: _Fraction = 0.7
    max_det: PositiveInt = 300
    agnostic: bool = False


@dataclass(frozen=True, config=STRICT)
class Batch:
    """Batch sizes to optimize the detector for, and how long a request may wait for company.

    Requests that arrive while the detector is busy meet without any delay.
    """

    opt: PositiveInt = 8
    max: PositiveInt = 16
    delay_us: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _ordered(self) -> "Batch":
        if self.opt > self.max:
            raise ValueError(f"expected opt <= max, got opt = {self.opt} and max = {self.max}")
        return self


@dataclass(frozen=True, config=STRICT)
class Instances:
    """How many copies of each step run side by side; a shared step takes the largest number."""

    preprocess: PositiveInt = 2
    detector: PositiveInt = 1
    nms: PositiveInt = 1


@dataclass(frozen=True, config=STRICT)
class ServingLimits:
    """What the server refuses rather than serve late or at any cost; the largest of all counts."""

    max_pixels: Annotated[int, Field(ge=1, le=2**30)] = 64_000_000
    max_in_flight: PositiveInt = 128
    max_wait_s: Annotated[float, Field(gt=0)] = 10.0


@dataclass(frozen=True, config=STRICT)
class Calibration:
    """How INT8 learns the range of each tensor.

    Attributes:
        images: folder of real images, as the detector will see them; absolute.
        samples: how many of them to use.
        method: how a range becomes a scale.
        exclude: nodes that are not quantized: regular expressions that match whole names, or
            ``head-tail`` for the last convolutions of the head and what is behind them.
        minimum: fewest usable images to go on with.
    """

    images: Path | None = None
    samples: PositiveInt = 500
    method: Literal["entropy", "minmax"] = "entropy"
    exclude: tuple[Annotated[str, Field(min_length=1)], ...] = ("head-tail",)
    minimum: PositiveInt = 32


@dataclass(frozen=True, config=STRICT)
class Gate:
    """How a variant of lower precision is held against FP32 before it is served.

    Attributes:
        images: folder of real images; absolute.
        labels: their COCO file or folder of YOLO labels; None looks beside the images.
        max_map_loss: points of mAP that may be lost; None is 0.1 for FP16 and 1.0 for INT8.
        max_changed: share of the detections that may be missed or extra, where there are no
            labels; None is 0.01 for FP16 and 0.05 for INT8.
    """

    images: Path | None = None
    labels: Path | None = None
    max_map_loss: Annotated[float, Field(ge=0, le=100)] | None = None
    max_changed: _Fraction | None = None


@dataclass(frozen=True, config=STRICT)
class PlanOptions:
    """How TensorRT compiles.

    Attributes:
        workspace_mib: most scratch memory of one layer; None leaves all of the GPU's.
        optimization_level: 0 (quick build) to 5 (fast plan); None is TensorRT's own, 3.
        hardware: which GPUs but the builder's own may load the plan.
        version_compatible: let later versions of TensorRT load it, at some cost in speed.
        dla: run on the Deep Learning Accelerator what it can run, the rest on the GPU.
        tf32: let FP32 convolutions round to TF32, which is quicker and less exact.
    """

    workspace_mib: PositiveInt | None = None
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = None
    hardware: Literal["none", "ampere_plus", "same_compute_capability"] = "none"
    version_compatible: bool = False
    dla: bool = False
    tf32: bool = False


@dataclass(frozen=True, config=STRICT)
class Manifest:
    """One detector.

    Attributes:
        name: folder name and name of the ensemble that is served.
        task: what the model does; ``detect`` only so far.
        weights: ``.onnx`` or ``.pt`` file, absolute (relative to the manifest in the file); or the
            bare name of published weights, which Ultralytics fetches.
        input_size: sides of the square input; a number in the file is the only one.
        labels: class names; the index is the class id. Empty takes those of the weights.
        candidates: K, how many of the best-scoring anchors leave the serving graph for NMS.
        precision: in which the detector is served.
        layout: what the detector's output means; None tells it from the ONNX.
        threads: CPU threads of one ONNX Runtime session; 0 takes all cores.
    """

    name: Name
    weights: Path
    labels: tuple[_Label, ...] = ()
    task: Literal["detect"] = "detect"
    input_size: InputSize = Sizes.only(640)
    candidates: Annotated[int, Field(ge=1, le=30_000)] = 300
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    layout: Layout | None = None
    threads: Annotated[int, Field(ge=0)] = 0
    thresholds: DefaultThresholds = field(default_factory=DefaultThresholds)
    batch: Batch = field(default_factory=Batch)
    instances: Instances = field(default_factory=Instances)
    limits: ServingLimits = field(default_factory=ServingLimits)
    calibration: Calibration = field(default_factory=Calibration)
    gate: Gate = field(default_factory=Gate)
    plan: PlanOptions = field(default_factory=PlanOptions)

    @model_validator(mode="after")
    def _labels_differ(self) -> "Manifest":
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"labels: expected different names, got {', '.join(twice)} twice")
        return self


_MANIFEST = TypeAdapter(Manifest)


def load_manifest(path: Path) -> Manifest:
    """Read one manifest.

    Args:
        path: a ``detector.toml`` or the folder that holds it.

    Raises:
        ManifestError: no such file, not TOML, an unknown or missing key, a value of the wrong type
            or out of range, or a weights file that does not exist.
    """
    if path.is_dir():
        path = path / MANIFEST_FILE
    return _with_absolute_paths(read_toml(path, _MANIFEST), path)


def _with_absolute_paths(manifest: Manifest, path: Path) -> Manifest:
    """Resolve what the manifest at ``path`` names.

    Calibration and gate images need not exist yet: only a stage that reads them misses them.
    """

    def absolute(named: Path | None) -> Path | None:
        return named and (path.parent / named).resolve()

    weights = (path.parent / manifest.weights).resolve()
    if weights.is_file() and weights.suffix not in WEIGHTS:
        raise ManifestError(f"{path}: weights: {not_weights(weights)}")
    if not weights.is_file():
        if not PUBLISHED.fullmatch(str(manifest.weights)):
            raise ManifestError(
                f"{path}: weights: expected an .onnx or .pt file or the name of published weights "
                f"(yolo11n, ...), found no file at {weights}"
            )
        weights = manifest.weights
    return replace(
        manifest,
        weights=weights,
        calibration=replace(manifest.calibration, images=absolute(manifest.calibration.images)),
        gate=replace(
            manifest.gate,
            images=absolute(manifest.gate.images),
            labels=absolute(manifest.gate.labels),
        ),
    )


def manifest_paths(chosen: Sequence[Path], models: Path) -> list[Path]:
    """Return the chosen manifests, or all of a folder of detectors if none are.

    Raises:
        ManifestError: one that is chosen does not exist; or there is none in the folder.
    """
    known = sorted(models.glob(f"*/{MANIFEST_FILE}"))
    for path in chosen:
        if not path.exists():
            names = ", ".join(manifest.parent.name for manifest in known) or "none"
            raise ManifestError(f"{path}: no such detector; {models} has {names}")
    paths = list(chosen) or known
    if not paths:
        raise ManifestError(f"{models}: expected folders with a {MANIFEST_FILE}, found none")
    return paths


def load_manifests(paths: Iterable[Path]) -> list[Manifest]:
    """Read several manifests and check that their names differ.

    Raises:
        ManifestError: as :func:`load_manifest`; or two detectors have one name.
    """
    manifests: dict[str, Manifest] = {}
    for path in paths:
        manifest = load_manifest(path)
        if manifest.name in manifests:
            raise ManifestError(
                f"{path}: name: {manifest.name!r} is another detector's name already"
            )
        manifests[manifest.name] = manifest
    return list(manifests.values())
