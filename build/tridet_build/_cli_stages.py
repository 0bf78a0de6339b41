"""The build stages as commands, each runnable alone. Parse, call, print the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.table import Table
from tridet import _contract as contract

from tridet_build._exceptions import BuildError
from tridet_build.manifest import Manifest, load_manifest, manifest_paths

if TYPE_CHECKING:
    from tridet_build.plan.settings import PlanReport

_PATH = click.Path(path_type=Path)
_console = Console(stderr=True, highlight=False)

manifest_argument = click.argument("manifest", type=_PATH)


@click.command()
@click.argument("weights")
@click.option("--out", type=_PATH, required=True, help="ONNX file to write.")
@click.option("--imgsz", type=int, default=640, show_default=True, help="Input size, pixels.")
@click.option("--opset", type=int, default=19, show_default=True)
def export(weights: str, out: Path, imgsz: int, opset: int) -> None:
    """Export WEIGHTS, a .pt file or an Ultralytics model name, to ONNX.

    \b
    Example:
      tridet-build export best.pt --out models/mine/best.onnx
    """
    from tridet_build.export import export_onnx

    report = export_onnx(weights, out, input_size=imgsz, opset=opset)
    for note in report.notes:
        _console.print(f"note: {note}")
    _console.print(
        f"{out}: {report.layout}, {len(report.labels)} labels, "
        f"{report.nodes_before} nodes made {report.nodes_after} by {report.simplifier}"
    )


@click.command()
@manifest_argument
@click.option("--out", type=_PATH, required=True, help="ONNX file to write.")
def fp16(manifest: Path, out: Path) -> None:
    """Write the FP16 variant of a detector's plain ONNX."""
    from tridet_build.precision.convert import to_fp16

    detector = load_manifest(manifest)
    report = to_fp16(detector.weights, out, input_size=detector.input_size)
    _console.print(f"{out}: {report.size_bytes} bytes, nodes by precision {report.nodes}")


@click.command()
@manifest_argument
@click.option("--out", type=_PATH, required=True, help="ONNX file to write.")
@click.option(
    "--calibration",
    type=_PATH,
    required=True,
    help="Folder of real images, as the detector will see them.",
)
@click.option("--samples", type=click.IntRange(1), default=500, show_default=True)
@click.option(
    "--method", type=click.Choice(["entropy", "minmax"]), default="entropy", show_default=True
)
@click.option("--cache", type=_PATH, help="Folder that keeps the scales for the next build.")
def int8(
    manifest: Path,
    out: Path,
    calibration: Path,
    samples: int,
    method: Literal["entropy", "minmax"],
    cache: Path | None,
) -> None:
    """Write the INT8 variant of a detector's plain ONNX, calibrated on real images."""
    from tridet_build.precision.calibration import find_images
    from tridet_build.precision.convert import to_int8

    detector = load_manifest(manifest)
    report = to_int8(
        detector.weights,
        out,
        images=find_images(calibration),
        input_size=detector.input_size,
        samples=samples,
        method=method,
        cache=cache,
        max_pixels=detector.limits.max_pixels,
    )
    _console.print(f"{out}: {report.size_bytes} bytes, nodes by precision {report.nodes}")


@click.command()
@manifest_argument
@click.argument("variant", type=_PATH)
@click.option("--precision", type=click.Choice(["fp16", "int8"]), required=True)
@click.option("--images", type=_PATH, required=True, help="Folder of real images.")
@click.option("--labels", type=_PATH, help="COCO file or folder of YOLO labels.")
@click.option("--out", type=_PATH, help="Folder for gate.json and gate.png.")
def gate(
    manifest: Path,
    variant: Path,
    precision: str,
    images: Path,
    labels: Path | None,
    out: Path | None,
) -> None:
    """Compare what VARIANT detects with what the FP32 ONNX detects; fail beyond the limits."""
    from tridet_build.gate.detections import Settings
    from tridet_build.gate.judge import gate as run_gate
    from tridet_build.gate.report import gate_table
    from tridet_build.precision.calibration import find_images
    from tridet_build.steps.suppression import Thresholds

    detector = load_manifest(manifest)
    wished = detector.thresholds
    settings = Settings(
        input_size=detector.input_size,
        labels=detector.labels,
        candidates=detector.candidates,
        thresholds=Thresholds(wished.conf, wished.iou, wished.max_det, wished.agnostic),
        max_pixels=detector.limits.max_pixels,
        threads=detector.threads,
    )
    report = run_gate(
        detector.weights,
        variant,
        precision=precision,
        images=find_images(images),
        settings=settings,
        labels=labels,
        out=out,
    )
    _console.print(gate_table([report]))


@click.command()
@click.argument("manifests", nargs=-1, type=_PATH)
@click.option("--models", type=_PATH, default=Path("models"), show_default=True)
@click.option(
    "--out",
    type=_PATH,
    default=Path("model_repository"),
    show_default=True,
    help="The repository that gets the plans.",
)
@click.option(
    "--check", "dry", is_flag=True, help="Only compile, with TensorRT for RTX: needs no GPU."
)
@click.option("--workspace", type=click.IntRange(1), metavar="MIB", help="Workspace limit.")
@click.option("--optimization-level", type=click.IntRange(0, 5))
@click.option("--timing-cache", type=_PATH)
@click.option("-v", "--verbose", is_flag=True, help="Let TensorRT's own log through.")
def plans(
    manifests: tuple[Path, ...],
    models: Path,
    out: Path,
    dry: bool,
    workspace: int | None,
    optimization_level: int | None,
    timing_cache: Path | None,
    verbose: bool,
) -> None:
    """Compile the serving graph of each detector with TensorRT, and write build.json beside it.

    MANIFESTS are detector.toml files or their folders; without any, all of --models are built. One
    that fails does not stop the others.
    """
    from tridet_build.configs import detector_name
    from tridet_build.plan.runtime import use_rtx
    from tridet_build.repository import VERSION

    if dry:
        use_rtx()
    rows = Table("detector", "precision", "TensorRT", "bytes", "seconds", "outcome")
    failures: list[BuildError] = []
    for path in manifest_paths(manifests, models):
        try:
            detector = load_manifest(path)
            report = _build(
                detector,
                None if dry else out / detector_name(detector.name) / VERSION / "model.plan",
                verbose,
                workspace_mib=workspace,
                optimization_level=optimization_level,
                timing_cache=timing_cache,
            )
        except BuildError as error:
            failures.append(error)
            name = (path if path.is_dir() else path.parent).name
            rows.add_row(name, "", "", "", "", "failed, see below")
            continue
        rows.add_row(
            detector.name,
            f"{report.asked}, got {report.achieved}",
            f"{report.flavour} {report.version}",
            f"{report.bytes:,}",
            f"{report.seconds:.1f}",
            "compiled" if dry else str(report.plan),
        )
    _console.print(rows)
    for failure in failures:
        click.echo(f"tridet-build: error: {failure}", err=True)
    if failures:
        raise SystemExit(1)


def _build(detector: Manifest, out: Path | None, verbose: bool, **options: Any) -> PlanReport:
    from tridet_build.plan.compile import build_plan
    from tridet_build.plan.settings import PlanSettings, Span

    settings = PlanSettings(
        precision=detector.precision,
        batch=Span(1, detector.batch.opt, detector.batch.max),
        height=detector.input_size,
        width=detector.input_size,
        **options,
    )
    with _serving_graph(detector) as graph:
        report = build_plan(graph, out, settings, console=_console, verbose=verbose)
        if out is not None:
            _record(detector, graph, out, report)
    return report


@click.command()
@click.argument("repository", type=_PATH, default=Path("model_repository"))
@click.option(
    "--runtime",
    type=click.Choice(["tensorrt", "onnxruntime", "python"]),
    default="onnxruntime",
    show_default=True,
    help="Which config of a detector counts; tensorrt also holds the plans against this machine.",
)
def check(repository: Path, runtime: Literal["tensorrt", "onnxruntime", "python"]) -> None:
    """Check everything that tritonserver would load from REPOSITORY; fail if it would not."""
    from tridet_build import check as checks

    findings = checks.check(repository, runtime=runtime)
    if findings:
        _console.print(checks.table(findings))
    if checks.failed(findings):
        raise SystemExit(1)
    _console.print(f"{repository}: fit to serve with the {runtime} runtime")


@contextmanager
def _serving_graph(detector: Manifest) -> Iterator[Path]:
    """Wrap the weights into a file that lasts as long as the context."""
    import onnx

    from tridet_build.repository import graph_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{detector.name}.onnx"
        onnx.save(graph_of(detector), path)
        yield path


def _record(detector: Manifest, graph: Path, plan: Path, report: PlanReport) -> None:
    from tridet_build import record

    record.write_record(
        plan.with_name("build.json"),
        record.BuildRecord(
            detector=detector.name,
            created=record.now(),
            source=record.record_file(detector.weights),
            onnx=record.record_file(detector.weights),
            graph=record.record_file(graph),
            tools=record.tool_versions(),
            timings_s={"plan": report.seconds},
            **record.plan_fields(report, contract.IMAGES),
        ),
    )
