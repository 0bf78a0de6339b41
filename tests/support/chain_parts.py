"""Manifests in another precision, and the stages of a test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tridet_build.chain.stages import Stages
from tridet_build.manifest.manifest import Manifest


def stages(folder: Path, said: list[str] | None = None) -> Stages:
    lines = [] if said is None else said
    return Stages(folder / "work", force=False, say=lines.append)


def in_precision(detector: Manifest, precision: Any, images: Path | None) -> Manifest:
    return replace(
        detector,
        precision=precision,
        calibration=replace(detector.calibration, images=images),
        gate=replace(detector.gate, images=images),
    )
