"""Prove a built plan: on real images it finds what ONNX Runtime finds with the same graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tridet.processing import contract
from tridet.processing.parameters import NmsParameters

from tridet_build.datasets.images import MAX_PIXELS, UInt8Array
from tridet_build.errors import PlanError, first_line
from tridet_build.gate.detections import (
    OUTPUTS,
    Comparison,
    Found,
    Runner,
    compare,
    run_images,
    session,
)
from tridet_build.plan.runtime import load


def verify_plan(
    plan: Path,
    graph: Path,
    images: Sequence[Path],
    thresholds: NmsParameters,
    *,
    batch: int = 4,
    most_changed: float = 0.01,
    max_pixels: int = MAX_PIXELS,
) -> Comparison:
    """Run a plan and its serving graph on images and compare their detections.

    Args:
        plan: built from ``graph``.
        graph: ONNX with the input ``images`` UINT8 [N, S, S, 3].
        images: files that can be decoded.
        thresholds: of the requests; ``conf`` is where a detection counts.
        batch: images of one call, within the plan's profile.
        most_changed: largest share of missed and extra detections.
        max_pixels: largest accepted width times height of an image.

    Raises:
        PlanError: one of the two cannot be run, or more than ``most_changed`` of the detections
            differ.
        ImagesError: an image cannot be read.
    """
    from polygraphy.backend.trt import TrtRunner
    from polygraphy.exception import PolygraphyException

    reference = session(graph.read_bytes())
    size = int(reference.get_inputs()[0].shape[1])

    def detect(run: Runner) -> list[Found]:
        return run_images(run, images, size, thresholds, batch=batch, max_pixels=max_pixels)

    expected = detect(lambda frames: reference.run(list(OUTPUTS), {contract.IMAGES: frames}))
    try:
        with TrtRunner(load(plan)) as runner:

            def run(frames: UInt8Array) -> list[npt.NDArray[Any]]:
                outputs = runner.infer({contract.IMAGES: frames})
                # The runner gives its own buffers, which the next call overwrites.
                return [np.array(outputs[name]) for name in OUTPUTS]

            found = detect(run)
    except PolygraphyException as error:
        reason = first_line(error)
        raise PlanError(f"{plan}: cannot be run: {reason}") from None
    comparison = compare(expected, found, thresholds.conf)
    judge(plan, comparison, most_changed)
    return comparison


def judge(plan: Path, comparison: Comparison, most_changed: float) -> None:
    """Stop where a plan finds other things than its graph.

    Raises:
        PlanError: more than ``most_changed`` of the detections are missed or extra, or there were
            none to compare.
    """
    if not comparison.reference:
        raise PlanError(
            f"{plan}: cannot be verified: ONNX Runtime finds nothing in "
            f"{comparison.images} images; choose images with objects, or a lower conf"
        )
    if comparison.changed > most_changed:
        raise PlanError(
            f"{plan}: differs from ONNX Runtime: of {comparison.reference} detections in "
            f"{comparison.images} images {comparison.missed} are missed and {comparison.extra} "
            f"extra, expected at most {most_changed:.1%} together"
        )
