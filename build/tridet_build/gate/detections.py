"""Run a detector on real images as the server would, and compare two runs by their detections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tridet.processing import contract
from tridet.processing.decode import ImageError
from tridet.processing.letterbox import undo_letterbox
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters

from tridet_build.datasets.images import MAX_PIXELS, UInt8Array, letterboxed
from tridet_build.errors import BuildError, GateError, ImagesError, first_line
from tridet_build.manifest.manifest import Manifest
from tridet_build.onnx.serving_graph import serving_graph

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
# A serving graph: uint8 [N, S, S, 3] -> boxes [N, K, 4], scores [N, K], class_ids [N, K].
Runner = Callable[[UInt8Array], Sequence[npt.NDArray[Any]]]

LOWEST_CONF: Final = 0.001
"""Detections below this change no mAP worth the time."""
MATCH_IOU: Final = 0.5
"""Two boxes of one class that overlap by this much are the same detection."""

OUTPUTS: Final = (contract.BOXES, contract.SCORES, contract.CLASS_IDS)
"""Of a serving graph, in the order in which a ``Runner`` returns them."""

# Several images in one call also prove the batch axis.
_BATCH: Final = 4


@dataclass(frozen=True)
class Settings:
    """How a detector is served.

    Attributes:
        input_size: S, in pixels.
        labels: class names; the index is the class id.
        candidates: K, how many anchors reach NMS.
        thresholds: of the requests; ``conf`` is where a detection counts.
        max_pixels: largest accepted image, width times height.
        threads: of ONNX Runtime; 0 takes all cores.
    """

    input_size: int
    labels: tuple[str, ...]
    candidates: int = 300
    thresholds: NmsParameters = NmsParameters(conf=0.25, iou=0.7, max_det=300, agnostic=False)  # noqa: RUF009
    max_pixels: int = MAX_PIXELS
    threads: int = 0


def settings_of(manifest: Manifest) -> Settings:
    """Return how a manifest, with its labels filled in, has its detector served."""
    wished = manifest.thresholds
    return Settings(
        input_size=manifest.input_size.opt,
        labels=manifest.labels,
        candidates=manifest.candidates,
        thresholds=NmsParameters(wished.conf, wished.iou, wished.max_det, wished.agnostic),
        max_pixels=manifest.limits.max_pixels,
        threads=manifest.threads,
    )


@dataclass(frozen=True)
class Found:
    """The detections in one image, down to ``LOWEST_CONF``.

    Attributes:
        image: the file.
        size: width and height in pixels.
        boxes: float32 [n, 4], xyxy in pixels of the image.
        scores: float32 [n], descending.
        class_ids: int32 [n].
    """

    image: Path
    size: tuple[int, int]
    boxes: Float32Array
    scores: Float32Array
    class_ids: Int32Array

    def above(self, conf: float) -> "Found":
        """Return the detections that a request with this ``conf`` would give.

        A stronger box is never suppressed by a weaker one, so the threshold is a cut.
        """
        rows = self.scores >= conf
        return Found(
            self.image, self.size, self.boxes[rows], self.scores[rows], self.class_ids[rows]
        )


@dataclass(frozen=True)
class Match:
    """How the detections of two runs in one image go together.

    Attributes:
        pairs: int [m, 2], row in the reference and row in the variant.
        ious: float32 [m].
        drifts: float32 [m], score of the variant minus that of the reference.
        missed: rows of the reference without a partner.
        extra: rows of the variant without a partner.
    """

    pairs: npt.NDArray[np.intp]
    ious: Float32Array
    drifts: Float32Array
    missed: npt.NDArray[np.intp]
    extra: npt.NDArray[np.intp]

    @property
    def badness(self) -> tuple[int, float]:
        """Order images from alike to different."""
        return (
            len(self.missed) + len(self.extra),
            float((1 - self.ious).sum() + np.abs(self.drifts).sum()),
        )


@dataclass(frozen=True)
class Comparison:
    """How the detections of two runs differ over all images.

    Attributes:
        images: how many.
        reference: detections of the reference at the threshold.
        variant: detections of the variant at the threshold.
        matched: pairs of one class with IoU >= ``MATCH_IOU``.
        missed: detections of the reference alone.
        extra: detections of the variant alone.
        iou_mean, iou_p5, iou_min: over the pairs, p5 the 5th percentile; 1 without pairs.
        drift_mean, drift_p95, drift_max: over the pairs: mean signed score drift, then 95th
            percentile and largest of its size; 0 without pairs.
        worst: index of the image that differs most.
    """

    images: int
    reference: int
    variant: int
    matched: int
    missed: int
    extra: int
    iou_mean: float
    iou_p5: float
    iou_min: float
    drift_mean: float
    drift_p95: float
    drift_max: float
    worst: int

    @property
    def changed(self) -> float:
        """Missed and extra detections as a share of the reference's."""
        different = self.missed + self.extra
        return different / self.reference if self.reference else float(different > 0)


def session(model: bytes, threads: int = 0) -> Any:
    """Open an ONNX Runtime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def detect(
    weights: Path,
    images: Sequence[Path],
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Run a detector's serving graph and the server's NMS on images.

    Args:
        weights: plain ONNX, in any precision.
        images: files that can be decoded.
        settings: how the detector is served.
        progress: called with (images done, images in all).

    Raises:
        GraphError: the ONNX cannot be wrapped.
        GateError: ONNX Runtime refuses it.
        ImagesError: an image cannot be read.
    """
    graph = serving_graph(
        weights,
        input_size=settings.input_size,
        classes=len(settings.labels),
        candidates=settings.candidates,
    )
    try:
        runner = session(graph.SerializeToString(), settings.threads)
        return run_images(
            lambda frames: runner.run(list(OUTPUTS), {contract.IMAGES: frames}),
            images,
            settings.input_size,
            settings.thresholds,
            max_pixels=settings.max_pixels,
            progress=progress,
        )
    except BuildError:
        raise
    except Exception as error:  # ONNX Runtime raises its own types
        reason = first_line(error)
        raise GateError(f"{weights}: ONNX Runtime cannot run it: {reason}") from None


def run_images(
    run: Runner,
    images: Sequence[Path],
    input_size: int,
    thresholds: NmsParameters,
    *,
    batch: int = _BATCH,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Found]:
    """Run images through a serving graph and the server's NMS.

    Args:
        run: the serving graph.
        images: files that can be decoded.
        input_size: S, side of the input in pixels.
        thresholds: of the requests; detections are kept down to ``LOWEST_CONF`` all the same.
        batch: images of one call.
        max_pixels: largest accepted width times height of an image.
        progress: called with (images done, images in all).

    Raises:
        ImagesError: an image cannot be read.
    """
    lowest = replace(thresholds, conf=min(LOWEST_CONF, thresholds.conf))
    found: list[Found] = []
    for start in range(0, len(images), batch):
        files = images[start : start + batch]
        frames = [_letterboxed(path, input_size, max_pixels) for path in files]
        outputs = run(np.stack([canvas for canvas, _ in frames]))
        for path, (_, undo), boxes, scores, class_ids in zip(files, frames, *outputs, strict=True):
            rows = nms(boxes, scores, class_ids, lowest)
            size = (int(undo[4]), int(undo[5]))
            kept = undo_letterbox(boxes[rows], undo)
            found.append(Found(path, size, kept, scores[rows], class_ids[rows]))
        if progress:
            progress(len(found), len(images))
    return found


def match(reference: Found, variant: Found) -> Match:
    """Pair detections of one class, best overlap first, down to ``MATCH_IOU``."""
    ious = box_ious(reference.boxes, variant.boxes)
    ious[reference.class_ids[:, None] != variant.class_ids[None, :]] = 0
    pairs: list[tuple[int, int]] = []
    left, right = set(range(len(reference.boxes))), set(range(len(variant.boxes)))
    for flat in np.argsort(-ious, axis=None, kind="stable"):
        mine, theirs = divmod(int(flat), len(variant.boxes))
        if ious[mine, theirs] < MATCH_IOU:
            break
        if mine in left and theirs in right:
            pairs.append((mine, theirs))
            left.remove(mine)
            right.remove(theirs)
    rows = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return Match(
        rows,
        ious[rows[:, 0], rows[:, 1]],
        variant.scores[rows[:, 1]] - reference.scores[rows[:, 0]],
        np.array(sorted(left), dtype=np.intp),
        np.array(sorted(right), dtype=np.intp),
    )


def compare(reference: Sequence[Found], variant: Sequence[Found], conf: float) -> Comparison:
    """Compare two runs over the same images, in the same order, at a threshold."""
    mine = [found.above(conf) for found in reference]
    theirs = [found.above(conf) for found in variant]
    matches = [match(a, b) for a, b in zip(mine, theirs, strict=True)]
    ious = np.concatenate([m.ious for m in matches] or [np.empty(0, np.float32)])
    drifts = np.concatenate([m.drifts for m in matches] or [np.empty(0, np.float32)])
    sizes = np.abs(drifts)
    some = len(ious) > 0
    return Comparison(
        images=len(matches),
        reference=sum(len(found.scores) for found in mine),
        variant=sum(len(found.scores) for found in theirs),
        matched=len(ious),
        missed=sum(len(m.missed) for m in matches),
        extra=sum(len(m.extra) for m in matches),
        iou_mean=float(ious.mean()) if some else 1.0,
        iou_p5=float(np.percentile(ious, 5, method="linear")) if some else 1.0,
        iou_min=float(ious.min()) if some else 1.0,
        drift_mean=float(drifts.mean()) if some else 0.0,
        drift_p95=float(np.percentile(sizes, 95, method="linear")) if some else 0.0,
        drift_max=float(sizes.max()) if some else 0.0,
        worst=max(range(len(matches)), key=lambda i: matches[i].badness, default=-1),
    )


def box_ious(first: Float32Array, second: Float32Array) -> Float32Array:
    """IoU of every pair of xyxy boxes: float32 [n, m] of [n, 4] and [m, 4].

    A box without area, which clipping to the image leaves of one in the border, has 1 with its
    equal and 0 with all others.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    equal = (first[:, None] == second[None]).all(axis=2)
    ious: Float32Array = np.divide(shared, union, out=equal.astype(np.float32), where=union > 0)
    return ious


def _letterboxed(path: Path, size: int, max_pixels: int) -> tuple[UInt8Array, Float32Array]:
    try:
        return letterboxed(path.read_bytes(), size, max_pixels)
    except (OSError, ImageError) as error:
        raise ImagesError(f"{path}: {error}") from None
