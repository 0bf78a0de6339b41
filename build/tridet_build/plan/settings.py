"""How to compile a plan, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from tridet_build.manifest.manifest import PlanOptions
from tridet_build.manifest.sizes import Span
from tridet_build.manifest.toml import STRICT
from tridet_build.plan import file as plan_file
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import machine
from tridet_build.plan.layers import Precision


@pydantic_dataclass(frozen=True, config=STRICT)
class PlanSettings(PlanOptions):
    """What to compile, and how.

    Attributes:
        precision: what the ONNX is said to hold; checked, never enforced.
        batch: images of one call.
        size: sides of the square input, in pixels; the graph's axes are dynamic where it is a span.
        timing_cache: file that remembers measured kernels; made if missing.
        share: least share of the convolutions that must have the asked precision.
    """

    precision: Precision = "fp32"
    batch: Span = Span(1, 8, 16)
    size: Span = Span.only(640)
    timing_cache: Path | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @property
    def profile(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Smallest, best and largest shape of ``images`` [N, S, S, 3]."""
        batch, size = self.batch, self.size
        return (
            (batch.min, size.min, size.min, 3),
            (batch.opt, size.opt, size.opt, 3),
            (batch.max, size.max, size.max, 3),
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
