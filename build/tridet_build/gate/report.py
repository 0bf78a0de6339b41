"""The gate's verdict and its three forms: a table, JSON, and a picture of the worst image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.table import Table
from tridet.processing import contract
from tridet.processing.decode import decode

from tridet_build.errors import GateError
from tridet_build.gate.detections import MATCH_IOU, Comparison, Found, Settings, match
from tridet_build.manifest.manifest import Manifest

UInt8Array = npt.NDArray[np.uint8]

# BGR. What both have, what only FP32 has, what only the variant has.
_ALIKE: Final = (80, 170, 60)
_MISSED: Final = (50, 50, 230)
_EXTRA: Final = (0, 140, 255)
_PAPER: Final = (255, 255, 255)
_INK: Final = (40, 40, 40)
# Height of each half of the picture and of its caption, in pixels.
_HALF_PX: Final = 800
_CAPTION_PX: Final = 64


@dataclass(frozen=True)
class Scores:
    """Mean average precision, from 0 to 1."""

    map50: float
    map50_95: float


@dataclass(frozen=True)
class GateLimits:
    """How much a variant may lose against FP32.

    Attributes:
        map_drop: loss of mAP50 and of mAP50-95, each from 0 to 1, where there are labels.
        changed: share of FP32's detections that are missed or extra, where there are none.
    """

    map_drop: float
    changed: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise GateError(f"limit {name}: expected a number from 0 to 1, got {value}")


LIMITS: Final[dict[str, GateLimits]] = {
    "fp32": GateLimits(map_drop=0.0, changed=0.0),
    "fp16": GateLimits(map_drop=0.001, changed=0.01),
    "int8": GateLimits(map_drop=0.01, changed=0.05),
}
"""The defaults: FP16 may lose 0.1 points of mAP, INT8 1.0."""

POINTS: Final = 100
"""Of mAP, in which manifests and people count it."""
# mAP50 of FP32. What finds less of the labels than this was not trained on such labels.
_LEAST_MAP50: Final = 0.01


def limits_of(manifest: Manifest, precision: str) -> GateLimits:
    """Return the manifest's own limits, and the precision's defaults where it has none."""
    wished, limits = manifest.gate, LIMITS[precision]
    if wished.max_map_loss is not None:
        limits = replace(limits, map_drop=wished.max_map_loss / POINTS)
    if wished.max_changed is not None:
        limits = replace(limits, changed=wished.max_changed)
    return limits


@dataclass(frozen=True)
class GateReport:
    """What the gate saw.

    Attributes:
        precision: of the variant.
        reference_sha256, variant_sha256: of the two ONNX files.
        images_sha256: over all images that were judged.
        unreadable: a line for each image that was left out: its path and why.
        conf: the threshold of the comparison.
        comparison: of the detections.
        reference_map, variant_map: None without labels.
        limits: that it was held to.
        problems: a line for each limit that it broke.
        worst: the image that differs most; None where there was no image.
        runtime: ONNX Runtime's version.
        seconds: time of each step.
    """

    precision: str
    reference_sha256: str
    variant_sha256: str
    images_sha256: str
    unreadable: tuple[str, ...]
    conf: float
    comparison: Comparison
    reference_map: Scores | None
    variant_map: Scores | None
    limits: GateLimits
    problems: tuple[str, ...]
    worst: str | None
    runtime: str
    seconds: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the variant is within its limits."""
        return not self.problems

    @property
    def labels_misfit(self) -> bool:
        """Whether FP32 itself finds next to nothing of what is labelled."""
        return self.reference_map is not None and self.reference_map.map50 < _LEAST_MAP50

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        comparison = {**asdict(self.comparison), "changed": self.comparison.changed}
        return {**asdict(self), "comparison": comparison, "passed": self.passed}


def problems(
    comparison: Comparison, reference: Scores | None, variant: Scores | None, limits: GateLimits
) -> list[str]:
    """Return a line for each limit that is broken, by how much.

    Where FP32 itself finds nothing there is nothing to lose, and so nothing that is proved.
    """
    if reference is None or variant is None:
        if not comparison.reference:
            return [
                f"FP32 itself finds nothing in {comparison.images} images: choose images with "
                "objects, or a lower conf"
            ]
        beyond = comparison.changed - limits.changed
        if beyond <= 1e-9:
            return []
        return [
            f"{comparison.missed} missed and {comparison.extra} extra of {comparison.reference} "
            f"detections: {comparison.changed:.2%} changed, {beyond:.2%} over the limit of "
            f"{limits.changed:.2%}"
        ]
    if reference.map50 < _LEAST_MAP50:
        return [
            f"FP32 itself reaches {POINTS * reference.map50:.2f} points of mAP50 on these labels, "
            f"expected {POINTS * _LEAST_MAP50:.0f} or more: they are of other images, or number "
            "the classes in another order"
        ]
    found = []
    for name, before, after in (
        ("mAP50", reference.map50, variant.map50),
        ("mAP50-95", reference.map50_95, variant.map50_95),
    ):
        drop = before - after
        if drop - limits.map_drop > 1e-9:
            found.append(
                f"{name} falls by {100 * drop:.2f} points ({100 * before:.2f} to "
                f"{100 * after:.2f}), {100 * (drop - limits.map_drop):.2f} over the limit of "
                f"{100 * limits.map_drop:.2f}"
            )
    return found


def gate_table(reports: Sequence[GateReport]) -> Table:
    """Lay out one or several variants against FP32."""
    table = Table(title="Against FP32, on detections", title_justify="left")
    table.add_column("")
    for report in reports:
        table.add_column(report.precision.upper(), justify="right")
    for name, *values in _rows(reports):
        table.add_row(name, *values)
    return table


def _rows(reports: Sequence[GateReport]) -> list[list[str]]:
    def row(name: str, values: Sequence[str]) -> list[str]:
        return [name, *values]

    def drop(before: float, after: float) -> str:
        return f"{100 * after:.2f} ({100 * (after - before):+.2f})"

    seen = [report.comparison for report in reports]
    rows = [
        row("images", [str(c.images) for c in seen]),
        row(f"FP32 detections at conf {reports[0].conf:g}", [str(c.reference) for c in seen]),
        row(f"matched at IoU {MATCH_IOU:g}", [str(c.matched) for c in seen]),
        row("missed", [str(c.missed) for c in seen]),
        row("extra", [str(c.extra) for c in seen]),
        row("IoU mean / 5 % / least", [_triple(c.iou_mean, c.iou_p5, c.iou_min) for c in seen]),
        row(
            "score drift mean / 95 % / most",
            [_triple(c.drift_mean, c.drift_p95, c.drift_max) for c in seen],
        ),
    ]
    maps = [(report.reference_map, report.variant_map) for report in reports]
    known = [(before, after) for before, after in maps if before and after]
    if len(known) == len(reports):
        rows.append(row("mAP50", [drop(b.map50, a.map50) for b, a in known]))
        rows.append(row("mAP50-95", [drop(b.map50_95, a.map50_95) for b, a in known]))
        limits = [f"-{100 * report.limits.map_drop:.2f}" for report in reports]
        rows.append(row("limit in mAP points", limits))
    else:
        rows.append(row("missed and extra", [f"{c.changed:.2%}" for c in seen]))
        rows.append(row("limit", [f"{report.limits.changed:.2%}" for report in reports]))
    rows.append(row("verdict", ["pass" if report.passed else "FAIL" for report in reports]))
    return rows


def _triple(*values: float) -> str:
    return " / ".join(f"{value:.4f}" for value in values)


def draw_worst(reference: Found, variant: Found, settings: Settings, title: str) -> UInt8Array:
    """Draw one image twice, with the boxes of FP32 and with those of the variant.

    Green boxes are in both, red ones in FP32 alone, orange ones in the variant alone.

    Returns:
        uint8 [h, w, 3], BGR.
    """
    image = decode(
        reference.image.read_bytes(), formats=contract.FORMATS, max_pixels=settings.max_pixels
    )
    conf = settings.thresholds.conf
    before, after = reference.above(conf), variant.above(conf)
    pairs = match(before, after)
    halves = [
        _half(image, before, set(pairs.missed.tolist()), _MISSED, settings.labels),
        _half(image, after, set(pairs.extra.tolist()), _EXTRA, settings.labels),
    ]
    captions = [
        f"FP32: {len(before.scores)} detections, {len(pairs.missed)} missed by the other (red)",
        f"{title}: {len(after.scores)} detections, {len(pairs.extra)} extra (orange)",
    ]
    drawn = [_captioned(half, text) for half, text in zip(halves, captions, strict=True)]
    gap = np.full((drawn[0].shape[0], 8, 3), _PAPER, np.uint8)
    return np.hstack([drawn[0], gap, drawn[1]])


def picture_png(picture: UInt8Array) -> bytes:
    """Encode uint8 [h, w, 3], BGR, as PNG."""
    import cv2

    _, content = cv2.imencode(".png", picture)
    return content.tobytes()


def _half(
    image: UInt8Array,
    found: Found,
    alone: set[int],
    color: tuple[int, int, int],
    labels: Sequence[str],
) -> UInt8Array:
    import cv2

    scale = _HALF_PX / max(image.shape[:2])
    resized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    drawn: UInt8Array = np.ascontiguousarray(resized, dtype=np.uint8)
    for row, (box, score, class_id) in enumerate(
        zip(found.boxes * scale, found.scores, found.class_ids, strict=True)
    ):
        ink = color if row in alone else _ALIKE
        left, top, right, low = (round(float(v)) for v in box)
        cv2.rectangle(drawn, (left, top), (right, low), ink, 2)
        _label(drawn, f"{labels[class_id]} {score:.2f}", left, top, low, ink)
    return drawn


def _label(
    drawn: UInt8Array, text: str, left: int, top: int, low: int, ink: tuple[int, int, int]
) -> None:
    """Write on a plate above the box, or below it where there is no room, inside the picture."""
    import cv2

    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    high, wide = drawn.shape[:2]
    x = max(0, min(left, wide - width - 4))
    y = top - base - 3 if top - height - base - 3 >= 0 else min(low + height + 4, high - base - 1)
    plate = (x, y - height - 3), (x + width + 4, y + base + 1)
    cv2.rectangle(drawn, *plate, ink, cv2.FILLED)
    cv2.putText(drawn, text, (x + 2, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _PAPER, 1, cv2.LINE_AA)


def _captioned(half: UInt8Array, text: str) -> UInt8Array:
    import cv2

    strip = np.full((_CAPTION_PX, half.shape[1], 3), _PAPER, np.uint8)
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2)
    scale = min(0.8, 0.8 * (half.shape[1] - 16) / width)
    cv2.putText(strip, text, (8, 40), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return np.vstack([strip, half])


def save_report(
    report: GateReport, reference: Sequence[Found], variant: Sequence[Found], settings: Settings
) -> dict[str, bytes]:
    """Return the report's files, name to content: ``gate.json``, and ``gate.png`` with images."""
    import json

    files = {"gate.json": json.dumps(report.to_dict(), indent=1).encode() + b"\n"}
    if report.comparison.worst >= 0:
        worst = report.comparison.worst
        picture = draw_worst(reference[worst], variant[worst], settings, report.precision.upper())
        files["gate.png"] = picture_png(picture)
    return files


def worst_image(reference: Sequence[Found], comparison: Comparison) -> Path | None:
    """Return the image that differs most."""
    return reference[comparison.worst].image if comparison.worst >= 0 else None
