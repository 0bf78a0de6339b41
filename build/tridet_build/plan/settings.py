"""How to compile a plan, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tridet_build.errors import PlanError
from tridet_build.plan import file as plan_file
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import machine
from tridet_build.plan.layers import Precision

HardwareCompatibility: TypeAlias = Literal["none", "ampere_plus", "same_compute_capability"]


@dataclass(frozen=True)
class Span:
    """Smallest, most frequent and largest value of an axis."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise PlanError(f"expected 1 <= min <= opt <= max, got {self}")

    def __str__(self) -> str:
        return f"{self.min}/{self.opt}/{self.max}"


@dataclass(frozen=True)
class PlanSettings:
    """How to compile.

    Attributes:
        precision: what the ONNX is said to hold; checked, never enforced.
        batch: images of one call.
        height, width: of the input, in pixels; a span where the graph's axes are dynamic.
        workspace_mib: most scratch memory of one layer; None leaves all of the GPU's.
        optimization_level: 0 (quick build) to 5 (fast plan); None is TensorRT's own, 3.
        timing_cache: file that remembers measured kernels; made if missing.
        hardware: which GPUs but the builder's own may load the plan.
        version_compatible: let later versions of TensorRT load it, at some cost in speed.
        dla: run on the Deep Learning Accelerator what it can run, the rest on the GPU.
        tf32: let FP32 convolutions round to TF32, which is quicker and less exact.
        share: least share of the convolutions that must have the asked precision.
    """

    precision: Precision = "fp32"
    batch: Span = Span(1, 8, 16)
    height: int | Span = 640
    width: int | Span = 640
    workspace_mib: int | None = None
    optimization_level: int | None = None
    timing_cache: Path | None = None
    hardware: HardwareCompatibility = "none"
    version_compatible: bool = False
    dla: bool = False
    tf32: bool = False
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise PlanError(f"workspace_mib: expected 1 or more, got {self.workspace_mib}")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise PlanError(f"optimization_level: expected 0 to 5, got {self.optimization_level}")
        if not 0 < self.share <= 1:
            raise PlanError(f"share: expected more than 0, at most 1, got {self.share}")

    @property
    def profile(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Smallest, best and largest shape of ``images`` [N, H, W, 3]."""
        height, width = (
            Span(side, side, side) if isinstance(side, int) else side
            for side in (self.height, self.width)
        )
        return (
            (self.batch.min, height.min, width.min, 3),
            (self.batch.opt, height.opt, width.opt, 3),
            (self.batch.max, height.max, width.max, 3),
        )


@dataclass(frozen=True)
class PlanReport:
    """What was built.

    Attributes:
        plan: the file; None where nothing was kept.
        seconds: parsing and building.
        bytes, sha256: of the plan.
        flavour, version: of TensorRT.
        gpu: what it was built for; None without one (TensorRT for RTX compiles ahead of time).
        asked, achieved: precision.
        network: weighted layers per precision, as the ONNX holds them.
        engine: weighted layers per precision, as built; empty where the engine cannot be loaded
            here (without a GPU).
        layers: layers of the network, before fusion.
        profile: smallest, best and largest shape of ``images``.
        settings: what was asked.
    """

    plan: Path | None
    seconds: float
    bytes: int
    sha256: str
    flavour: plan_file.Flavour
    version: str
    gpu: machine.Gpu | None
    asked: Precision
    achieved: str
    network: plan_layers.Histogram
    engine: plan_layers.Histogram
    layers: int
    profile: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    settings: PlanSettings
