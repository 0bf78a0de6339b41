"""Prove a built plan: on real images it finds what ONNX Runtime finds with the same graph."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tridet.processing import contract
from tridet.processing.decode import ImageError
from tridet.processing.letterbox import undo_letterbox
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters

from tridet_build.errors import PlanError, first_line
from tridet_build.gate.detections import LOWEST_CONF, Comparison, Found, compare, session
from tridet_build.images import MAX_PIXELS, letterboxed
from tridet_build.plan.runtime import load

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
# uint8 [N, S, S, 3] -> boxes [N, K, 4], scores [N, K], class_ids [N, K].
Runner = Callable[[UInt8Array], Sequence[npt.NDArray[Any]]]

_OUTPUTS: Final = (contract.BOXES, contract.SCORES, contract.CLASS_IDS)


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
        PlanError: one of the two cannot be run, an image cannot be read, or more than
            ``most_changed`` of the detections differ.
    """
    from polygraphy.backend.trt import TrtRunner
    from polygraphy.exception import PolygraphyException

    reference = session(graph.read_bytes())
    size = int(reference.get_inputs()[0].shape[1])
    expected = detect(
        lambda frames: reference.run(list(_OUTPUTS), {contract.IMAGES: frames}),
        images,
        size,
        thresholds,
        batch,
        max_pixels,
    )
    try:
        with TrtRunner(load(plan)) as runner:

            def run(frames: UInt8Array) -> list[npt.NDArray[Any]]:
                outputs = runner.infer({contract.IMAGES: frames})
                # The runner gives its own buffers, which the next call overwrites.
                return [np.array(outputs[name]) for name in _OUTPUTS]

            found = detect(run, images, size, thresholds, batch, max_pixels)
    except PolygraphyException as error:
        reason = first_line(error)
        raise PlanError(f"{plan}: cannot be run: {reason}") from None
    comparison = compare(expected, found, thresholds.conf)
    judge(plan, comparison, most_changed)
    return comparison


def detect(
    run: Runner,
    images: Sequence[Path],
    size: int,
    thresholds: NmsParameters,
    batch: int,
    max_pixels: int = MAX_PIXELS,
) -> list[Found]:
    """Run images through a serving graph and the server's NMS.

    Args:
        run: the serving graph.
        images: files that can be decoded.
        size: S, side of the input in pixels.
        thresholds: of the requests.
        batch: images of one call.
        max_pixels: largest accepted width times height of an image.
    """
    lowest = NmsParameters(
        min(LOWEST_CONF, thresholds.conf),
        thresholds.iou,
        thresholds.max_det,
        thresholds.agnostic,
        thresholds.classes,
    )
    found = []
    for start in range(0, len(images), batch):
        files = images[start : start + batch]
        frames = [_frame(path, size, max_pixels) for path in files]
        outputs = run(np.stack([canvas for canvas, _ in frames]))
        for path, (_, undo), boxes, scores, class_ids in zip(files, frames, *outputs, strict=True):
            rows = nms(boxes, scores, class_ids, lowest)
            source = (int(undo[4]), int(undo[5]))
            kept = undo_letterbox(boxes[rows], undo)
            found.append(Found(path, source, kept, scores[rows], class_ids[rows]))
    return found


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


def _frame(path: Path, size: int, max_pixels: int) -> tuple[UInt8Array, Float32Array]:
    try:
        return letterboxed(path.read_bytes(), size, max_pixels)
    except (OSError, ImageError) as error:
        raise PlanError(f"{path}: {error}") from None
