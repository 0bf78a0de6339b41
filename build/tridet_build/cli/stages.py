"""Single stages as commands, for those who want one file and no repository. Parse, call, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tridet_build.cli.options import PATH, console, note
from tridet_build.errors import ManifestError
from tridet_build.manifest.manifest import Manifest, load_manifest
from tridet_build.manifest.sizes import Sizes

if TYPE_CHECKING:
    from tridet_build.gate.report import GateReport

_manifest = click.argument("manifest", type=PATH)
_onnx_out = click.option("--out", type=PATH, required=True, help="ONNX file to write.")
_images = click.option("--images", type=PATH, required=True, help="Folder of real images.")


def _sizes(_context: click.Context, _parameter: click.Parameter, text: str) -> Sizes:
    try:
        sides = [int(part) for part in text.split(",")]
        return Sizes.only(*sides) if len(sides) == 1 else Sizes(*sides)
    except (ValueError, TypeError):
        raise ManifestError(
            "--imgsz: expected a multiple of 32 from 32 to 4096, or three of them as min,opt,max, "
            f"got {text!r}"
        ) from None


@click.command()
@click.argument("weights")
@_onnx_out
@click.option(
    "--imgsz",
    default="640",
    show_default=True,
    callback=_sizes,
    metavar="PIXELS|MIN,OPT,MAX",
    help="Input size; three leave it dynamic.",
)
@click.option("--opset", type=int, default=19, show_default=True)
def export(weights: str, out: Path, imgsz: Sizes, opset: int) -> None:
    """Export WEIGHTS, a .pt file or an Ultralytics model name, to ONNX.

    \b
    Example:
      tridet-build export best.pt --out models/mine/best.onnx
      tridet-build export best.pt --out models/mine/best.onnx --imgsz 320,640,1280
    """
    from tridet_build.onnx.export import export_onnx

    report = export_onnx(weights, out, input_size=imgsz, opset=opset)
    for text in report.notes:
        note(f"note: {text}")
    console.print(
        f"{out}: {report.layout}, {len(report.labels)} labels, "
        f"{report.nodes_before} nodes made {report.nodes_after} by {report.simplifier}"
    )


@click.command()
@_manifest
@_onnx_out
def fp16(manifest: Path, out: Path) -> None:
    """Write the FP16 variant of a detector's plain ONNX.

    \b
    Example:
      tridet-build fp16 models/pcb --out pcb.fp16.onnx
    """
    from tridet_build.precision.convert import to_fp16

    detector = _plain(manifest)
    report = to_fp16(detector.weights, out, input_size=detector.input_size)
    console.print(f"{out}: {report.size_bytes} bytes, nodes by precision {report.nodes}")


@click.command()
@_manifest
@_onnx_out
@click.option(
    "--calibration",
    type=PATH,
    required=True,
    help="Folder of real images, as the detector will see them.",
)
@click.option("--samples", type=click.IntRange(1), default=500, show_default=True)
@click.option(
    "--method", type=click.Choice(["entropy", "minmax"]), default="entropy", show_default=True
)
@click.option("--cache", type=PATH, help="Folder that keeps the scales for the next build.")
def int8(
    manifest: Path,
    out: Path,
    calibration: Path,
    samples: int,
    method: Literal["entropy", "minmax"],
    cache: Path | None,
) -> None:
    """Write the INT8 variant of a detector's plain ONNX, calibrated on real images.

    \b
    Example:
      tridet-build int8 models/pcb --out pcb.int8.onnx --calibration boards/train
    """
    from tridet_build.datasets.images import find_images, left_out
    from tridet_build.precision.convert import to_int8

    detector = _plain(manifest)
    report = to_int8(
        detector.weights,
        out,
        images=find_images(calibration),
        input_size=detector.input_size,
        settings=replace(detector.calibration, samples=samples, method=method),
        max_pixels=detector.limits.max_pixels,
        cache=cache,
    )
    for line in left_out("calibration", (report.calibration or {})["unreadable"]):
        note(line)
    console.print(f"{out}: {report.size_bytes} bytes, nodes by precision {report.nodes}")


@click.command()
@_manifest
@click.argument("variant", type=PATH)
@click.option("--precision", type=click.Choice(["fp16", "int8"]), required=True)
@_images
@click.option("--labels", type=PATH, help="COCO file or folder of YOLO labels.")
@click.option("--out", type=PATH, help="Folder for gate.json and gate.png.")
def gate(
    manifest: Path,
    variant: Path,
    precision: str,
    images: Path,
    labels: Path | None,
    out: Path | None,
) -> None:
    """Compare what VARIANT detects with what the FP32 ONNX detects; fail beyond the limits.

    The limits are those of the manifest's [gate].

    \b
    Example:
      tridet-build gate models/pcb pcb.int8.onnx --precision int8 --images boards/test
    """
    from tridet_build.datasets.images import find_images
    from tridet_build.gate.detections import settings_of
    from tridet_build.gate.judge import GateFailedError
    from tridet_build.gate.judge import gate as run_gate
    from tridet_build.gate.report import gate_table, limits_of

    detector = _plain(manifest)
    try:
        report = run_gate(
            detector.weights,
            variant,
            precision=precision,
            images=find_images(images),
            settings=settings_of(detector),
            labels=labels,
            limits=limits_of(detector, precision),
            out=out,
        )
    except GateFailedError as error:
        _note_left_out(error.report)
        raise
    _note_left_out(report)
    console.print(gate_table([report]))


@click.command()
@_manifest
@click.argument("variant", type=PATH)
@_images
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Begin no further block after this time.",
)
def sensitivity(manifest: Path, variant: Path, images: Path, budget_s: float) -> None:
    """Show which blocks of the INT8 VARIANT hurt, with what to write into calibration.exclude.

    \b
    Example:
      tridet-build sensitivity models/pcb out/build/pcb/pcb.int8.onnx --images boards/test
    """
    from tridet_build.datasets.images import find_images, left_out
    from tridet_build.gate.detections import settings_of
    from tridet_build.gate.sensitivity import sensitivity as measure
    from tridet_build.gate.sensitivity import sensitivity_table

    detector = _plain(manifest)
    found = measure(
        detector.weights,
        variant,
        images=find_images(images),
        settings=settings_of(detector),
        budget_s=budget_s,
    )
    for line in left_out("sensitivity", found.unreadable):
        note(line)
    console.print(sensitivity_table(found.blocks))
    if found.left:
        console.print(f"note: no time left for {', '.join(found.left)}")


def _note_left_out(report: GateReport) -> None:
    from tridet_build.datasets.images import left_out

    for line in left_out("gate", report.unreadable):
        note(line)


def _plain(path: Path) -> Manifest:
    """Load a manifest whose weights are ONNX, and fill its labels in."""
    from tridet_build.onnx.labels import labels_in

    detector = load_manifest(path)
    if detector.weights.suffix != ".onnx":
        raise ManifestError(
            f"{path}: weights: this stage takes an .onnx file, got {detector.weights.name}; "
            "`tridet-build export` makes one"
        )
    return replace(detector, labels=detector.labels or labels_in(detector.weights))
