"""From a manifest to the ONNX that is served: export, precision, gate, serving graph.

Each stage is skipped where nothing that goes into it has changed; a chain that was cut off goes on
where it stopped.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tridet_build.chain.record import CalibrationRecord, File, GateRecord, record_file
from tridet_build.chain.stages import Done, Stages
from tridet_build.datasets import images as image_files
from tridet_build.datasets.images import find_images, left_out
from tridet_build.datasets.truth import labels_sha256
from tridet_build.errors import GateError, PrecisionError
from tridet_build.files import sha256_of
from tridet_build.gate.detections import settings_of
from tridet_build.gate.judge import GateFailedError, gate
from tridet_build.gate.report import POINTS, GateLimits, GateReport, limits_of, problems
from tridet_build.manifest.manifest import Manifest
from tridet_build.onnx import export
from tridet_build.onnx.export import export_onnx
from tridet_build.onnx.file import read_onnx, weights_sha256
from tridet_build.onnx.labels import labels_in
from tridet_build.onnx.serving_graph import graph_of
from tridet_build.precision import convert
from tridet_build.precision.convert import to_fp16, to_int8
from tridet_build.precision.report import stored_precision

Progress = Callable[[str], Callable[[int, int], None]]
"""Given the name of a stage, returns what it calls with (done, in all)."""


@dataclass(frozen=True)
class Prepared:
    """A detector that is ready to be compiled and served.

    Attributes:
        manifest: as it was, with ``weights`` the ONNX to serve and ``labels`` filled in.
        source: what the user gave.
        gates: by stage; empty where the weights are served as they are.
        calibration: of INT8, else None.
        timings_s: by stage.
        graph: the serving graph, serialized ONNX.
    """

    manifest: Manifest
    source: File
    gates: dict[str, GateRecord]
    calibration: CalibrationRecord | None
    timings_s: dict[str, float]
    graph: bytes = field(repr=False)

    def summary(self) -> dict[str, str]:
        """Say the main facts, for the ensemble's ``tridet.build``; every client sees them."""
        facts = {"weights": self.source.name, "weights_sha256": self.source.sha256}
        served = weights_sha256(self.manifest.weights)
        if served != self.source.sha256:
            facts["onnx_sha256"] = served
        if self.gates:
            facts["gates"] = "passed"  # what did not pass never gets here
        return facts


def prepare(manifest: Manifest, stages: Stages, *, progress: Progress | None = None) -> Prepared:
    """Do what the manifest asks for, up to the serving graph.

    Args:
        manifest: of one detector.
        stages: of the same.
        progress: shows how far the long stages are.

    Raises:
        BuildError: a stage failed (see its module), a precision other than FP32 without images
            that prove it, or weights that have another precision already.
    """
    timings: dict[str, float] = {}
    plain = manifest.weights
    if plain.suffix == ".onnx":
        source = record_file(plain)
    else:
        plain = stages.folder / f"{manifest.name}.onnx"
        exported = _export(manifest, plain, stages)
        timings["export"] = exported.seconds
        source = File(**exported.report)
    manifest = replace(manifest, weights=plain, labels=manifest.labels or labels_in(plain))
    own = _own_precision(manifest)
    if own == manifest.precision:
        return Prepared(manifest, source, {}, None, timings, graph_of(manifest))
    variant = stages.folder / f"{manifest.name}.{manifest.precision}.onnx"
    images = _gate_images(manifest)  # miss them before the calibration, not after it
    made = _convert(manifest, variant, stages, progress)
    timings[manifest.precision] = made.seconds
    judged = _gate(manifest, variant, images, stages, progress)
    timings["gate"] = judged.seconds
    calibration = made.report["calibration"]
    served = replace(manifest, weights=variant)
    return Prepared(
        served,
        source,
        {"precision": GateRecord(**judged.report)},
        calibration and CalibrationRecord(**calibration),
        timings,
        graph_of(served),
    )


def _export(manifest: Manifest, out: Path, stages: Stages) -> Done:
    weights, sizes = manifest.weights, manifest.input_size
    # Of a published name, Ultralytics takes the file in the working folder if there is one.
    file = weights if weights.is_absolute() else Path(f"{weights.name.removesuffix('.pt')}.pt")
    given = sha256_of(file) if file.is_file() else str(weights)

    def make() -> dict[str, str | int]:
        report = export_onnx(weights, out, input_size=sizes)
        for note in report.notes:
            stages.say(f"note: {note}")
        name = weights.with_suffix(".pt").name
        return asdict(File(name, report.weights_sha256, report.weights_bytes))

    inputs = {"weights": given, "input_size": str(sizes)}
    return stages.run("export", inputs, out, make, tools=export.TOOLS)


def _own_precision(manifest: Manifest) -> str:
    """Return the precision of the ONNX, unless it rules out the asked one."""
    own = stored_precision(read_onnx(manifest.weights))
    if own not in ("fp32", manifest.precision):
        raise PrecisionError(
            f"{manifest.weights}: expected FP32 weights to make {manifest.precision.upper()} of, "
            f'got {own.upper()}; to serve them as they are, say precision = "{own}"'
        )
    return own


def _convert(manifest: Manifest, out: Path, stages: Stages, progress: Progress | None) -> Done:
    calibration = manifest.calibration
    images = find_images(calibration.images) if calibration.images else []
    shared = {
        "onnx": weights_sha256(manifest.weights),
        "input_size": str(manifest.input_size),
        "images": _files_key(images),
        "max_pixels": manifest.limits.max_pixels,
    }
    tools = (*convert.TOOLS, *image_files.TOOLS)
    if manifest.precision == "fp16":

        def make_fp16() -> dict[str, None]:
            to_fp16(
                manifest.weights,
                out,
                input_size=manifest.input_size,
                images=images,
                max_pixels=manifest.limits.max_pixels,
            )
            return {"calibration": None}

        return stages.run("fp16", shared, out, make_fp16, tools=tools)
    if not images:
        raise PrecisionError(
            f"{manifest.name}: INT8 is calibrated on real images: expected [calibration] images = "
            '"folder" in the manifest, or --calibration FOLDER'
        )

    def make_int8() -> dict[str, dict[str, str | int]]:
        report = to_int8(
            manifest.weights,
            out,
            images=images,
            input_size=manifest.input_size,
            settings=calibration,
            max_pixels=manifest.limits.max_pixels,
            cache=stages.folder / "calibration",
            progress=progress and progress("calibration"),
        )
        used = report.calibration or {}
        for line in left_out("calibration", used["unreadable"]):
            stages.say(line)
        return {
            "calibration": {
                "sha256": used["images_sha256"],
                "images": used["samples"],
                "method": used["method"],
            }
        }

    settings = {**asdict(calibration), "images": shared["images"]}
    return stages.run("int8", {**shared, "calibration": settings}, out, make_int8, tools=tools)


def _gate_images(manifest: Manifest) -> list[Path]:
    folder = manifest.gate.images or manifest.calibration.images
    if folder is None:
        raise GateError(
            f"{manifest.name}: {manifest.precision.upper()} is held against FP32 before it is "
            'served: expected [gate] images = "folder of real images" in the manifest, or '
            "--gate FOLDER"
        )
    return find_images(folder)


def _gate(
    manifest: Manifest,
    variant: Path,
    images: list[Path],
    stages: Stages,
    progress: Progress | None,
) -> Done:
    precision, labels = manifest.precision, manifest.gate.labels
    limits = limits_of(manifest, precision)
    out = stages.folder / f"gate-{precision}"
    settings = settings_of(manifest)

    def say_left_out(report: GateReport) -> None:
        for line in left_out("gate", report.unreadable):
            stages.say(line)

    def make() -> dict[str, object]:
        try:
            report = gate(
                manifest.weights,
                variant,
                precision=precision,
                images=images,
                settings=settings,
                labels=labels,
                limits=limits,
                out=out,
                progress=progress and progress("gate"),
            )
        except GateFailedError as error:
            report = error.report
            say_left_out(report)
            # Labels that nobody named lie there for another detector, perhaps: they decide nothing.
            if labels is not None or not report.labels_misfit:
                raise
            if problems(report.comparison, None, None, limits):
                raise
            stages.say(
                f"warning: {manifest.name}: judged by its detections alone, not by the labels "
                f"beside the images: {report.problems[0]}"
            )
            report = replace(report, reference_map=None, variant_map=None)
        else:
            say_left_out(report)
        return asdict(_verdict(report, limits))

    inputs = {
        "fp32": weights_sha256(manifest.weights),
        "variant": sha256_of(variant),
        "images": _files_key(images),
        "labels": labels_sha256(images, labels),
        "labels_named": labels is not None,
        "limits": asdict(limits),
        "settings": asdict(settings),
    }
    tools = ("onnxruntime", "pycocotools", *image_files.TOOLS)
    return stages.run(out.name, inputs, out / "gate.json", make, tools=tools)


def _files_key(files: Sequence[Path]) -> str:
    """Hash files and where they lie below the folder of all.

    By the names of images a part of them is chosen, and their labels are found.
    """
    folder = os.path.commonpath([path.parent for path in files]) if files else ""
    lines = sorted(f"{sha256_of(path)} {path.relative_to(folder)}" for path in files)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _verdict(report: GateReport, limits: GateLimits) -> GateRecord:
    seen = report.comparison
    figures: dict[str, float] = {
        "images": seen.images,
        "missed": seen.missed,
        "extra": seen.extra,
        "changed": seen.changed,
        "iou_mean": seen.iou_mean,
        "score_drift_max": seen.drift_max,
    }
    if report.reference_map is None or report.variant_map is None:
        return GateRecord(True, figures, {"changed": limits.changed})
    before, after = report.reference_map, report.variant_map
    figures["map50_lost_points"] = POINTS * (before.map50 - after.map50)
    figures["map50_95_lost_points"] = POINTS * (before.map50_95 - after.map50_95)
    most = POINTS * limits.map_drop
    return GateRecord(True, figures, {"map50_lost_points": most, "map50_95_lost_points": most})
