"""The gate before any plan: a precision variant must detect what FP32 detects.

Both run as they are served, in ONNX Runtime on real images; what is compared is detections, and mAP
where there are labels, never tensors.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tridet_build.datasets.dataset import Dataset
from tridet_build.datasets.evaluation import judge
from tridet_build.datasets.images import usable
from tridet_build.datasets.truth import check_labels, labels_of_images, model_ids, truth_of
from tridet_build.errors import INSTALL, GateError
from tridet_build.files import sha256_of, write_atomically
from tridet_build.gate.detections import Found, Settings, compare, detect
from tridet_build.gate.report import (
    LIMITS,
    GateLimits,
    GateReport,
    Scores,
    gate_table,
    problems,
    save_report,
    worst_image,
)

__all__ = [
    "LIMITS",
    "GateError",
    "GateFailedError",
    "GateLimits",
    "GateReport",
    "Settings",
    "gate",
    "gate_table",
]

# Older ones truncate where QuantizeLinear of FP16 has to round, and so judge INT8 too harshly.
_INT8_RUNTIME: Final = (1, 31)


class GateFailedError(GateError):
    """The variant is beyond its limits; ``report`` says all about it."""

    def __init__(self, message: str, report: GateReport) -> None:
        super().__init__(message)
        self.report = report


def gate(
    reference: Path,
    variant: Path,
    *,
    precision: str,
    images: Sequence[Path],
    settings: Settings,
    labels: Path | None = None,
    limits: GateLimits | None = None,
    out: Path | None = None,
    before: Sequence[Found] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GateReport:
    """Hold a variant to its limits.

    Args:
        reference: plain ONNX, FP32.
        variant: plain ONNX in the other precision.
        precision: ``fp16`` or ``int8``.
        images: real images; those that cannot be read are left out, and named in the report.
        settings: how the detector is served.
        labels: a COCO file or a folder of YOLO labels; looked for beside the images if None, see
            :func:`tridet_build.datasets.truth.find_labels`.
        limits: None takes the precision's defaults.
        out: folder for ``gate.json`` and ``gate.png``, written whatever the verdict; None for none.
        before: the reference's run over the readable ones, if there is one already.
        progress: called with (images done, images in all).

    Raises:
        GateFailedError: a limit is broken, says by how much; or FP32 itself finds nothing to
            compare with, or next to nothing of what is labelled.
        ImagesError: none of the images can be read.
        DataError: the labels cannot be read, have errors, or are of other classes or images.
        GateError: ONNX Runtime is too old for INT8 or refuses a model.
        OnnxError, GraphError: one of the two cannot be wrapped.
    """
    runtime = runtime_version(precision)
    chosen = usable(images, "gate", max_pixels=settings.max_pixels)
    images = chosen.images
    labelled = labels_of_images(images, settings.labels, labels)
    if labelled:
        check_labels(labelled, labelled.splits[0])
    seconds: dict[str, float] = {}
    total = len(images) * (1 if before is not None else 2)

    def run(name: str, weights: Path, done: int) -> list[Found]:
        start = time.perf_counter()
        found = detect(
            weights,
            images,
            settings,
            progress=(lambda n, _: progress(done + n, total)) if progress else None,
        )
        seconds[name] = round(time.perf_counter() - start, 2)
        return found

    mine = list(before) if before is not None else run("fp32", reference, 0)
    theirs = run(precision, variant, total - len(images))
    before_map = scores_of(mine, labelled, settings) if labelled else None
    after_map = scores_of(theirs, labelled, settings) if labelled else None
    comparison = compare(mine, theirs, settings.thresholds.conf)
    limits = limits or LIMITS[precision]
    broken = problems(comparison, before_map, after_map, limits)
    worst = worst_image(mine, comparison)
    report = GateReport(
        precision=precision,
        reference_sha256=sha256_of(reference),
        variant_sha256=sha256_of(variant),
        images_sha256=chosen.digest,
        unreadable=chosen.unreadable,
        conf=settings.thresholds.conf,
        comparison=comparison,
        reference_map=before_map,
        variant_map=after_map,
        limits=limits,
        problems=tuple(broken),
        worst=worst.name if worst else None,
        runtime=runtime,
        seconds=seconds,
    )
    if out is not None:
        _save(out, save_report(report, mine, theirs, settings))
    if broken:
        raise GateFailedError(f"{variant}: {precision.upper()}: {'; '.join(broken)}", report)
    return report


def scores_of(found: Sequence[Found], labelled: Dataset, settings: Settings) -> Scores:
    """Evaluate a run as COCO does.

    Args:
        found: of images.
        labelled: the labels of the same images, in their order.
        settings: how the detector is served.

    Raises:
        DataError: the labels are of other classes or of images of another size; or pycocotools is
            missing.
    """
    (split,) = labelled.splits
    ids, _ = model_ids(labelled, split, settings.labels)
    pairs = zip(split.images, found, strict=True)
    truths = [truth_of(image, item.size, ids) for image, item in pairs]
    judged = judge(truths, found, len(settings.labels), settings.thresholds.max_det)
    return Scores(judged.ap(iou=0), judged.ap())


def runtime_version(precision: str) -> str:
    """Return ONNX Runtime's version.

    Raises:
        GateError: it is missing, or cannot judge this precision.
    """
    try:
        import onnxruntime
    except ImportError:
        raise GateError(f"the gate needs onnxruntime, which is missing: {INSTALL}") from None
    found: str = onnxruntime.__version__
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if precision == "int8" and numbers < _INT8_RUNTIME:
        raise GateError(
            f"INT8 needs onnxruntime >= {'.'.join(map(str, _INT8_RUNTIME))}, got {found}: older "
            "ones truncate FP16 where they should round, and detections are lost"
        )
    return found


def _save(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        try:
            write_atomically(folder / name, content)
        except OSError as error:
            raise GateError(f"{folder / name}: cannot be written: {error.strerror}") from None
