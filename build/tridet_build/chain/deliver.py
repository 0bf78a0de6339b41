"""From a prepared detector to its plan and build record in the repository."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from tridet.processing import contract

from tridet_build.chain.prepare import Prepared
from tridet_build.chain.record import (
    RECORD_FILE,
    BuildRecord,
    GateRecord,
    plan_fields,
    read_record,
    record_file,
    record_from_fields,
    tool_versions,
    write_record,
)
from tridet_build.chain.stages import Stages
from tridet_build.datasets.images import Usable, find_images, left_out, shuffled, usable
from tridet_build.errors import PlanError, RecordError
from tridet_build.files import sha256_of, write_atomically
from tridet_build.gate.detections import settings_of
from tridet_build.manifest.manifest import Manifest
from tridet_build.manifest.sizes import Span
from tridet_build.plan import machine
from tridet_build.plan.compile import build_plan
from tridet_build.plan.runtime import tensorrt
from tridet_build.plan.settings import PlanSettings
from tridet_build.plan.verify import verify_plan
from tridet_build.repository import configs
from tridet_build.repository.render import VERSION

PLAN_FILE: Final = "model.plan"

# More images than this prove nothing more of a plan whose ONNX has passed its gate.
_VERIFIED_IMAGES: Final = 64
_MOST_CHANGED: Final = 0.01


@dataclass(frozen=True)
class Built:
    """What came of compiling one detector.

    Attributes:
        achieved: precision.
        tensorrt: flavour and version.
        bytes: of the plan.
        seconds: parsing, building and proving.
    """

    achieved: str
    tensorrt: str
    bytes: int
    seconds: float


def plan_settings(manifest: Manifest) -> PlanSettings:
    """Return what a manifest asks of TensorRT."""
    return PlanSettings(
        precision=manifest.precision,
        batch=Span(1, manifest.batch.opt, manifest.batch.max),
        size=manifest.input_size,
        **asdict(manifest.plan),
    )


def compile_only(
    prepared: Prepared, stages: Stages, *, console: Console | None = None, verbose: bool = False
) -> Built:
    """Compile the serving graph and keep nothing.

    Raises:
        BuildError: it cannot be compiled.
    """
    graph = _graph_file(prepared, stages)
    settings = plan_settings(prepared.manifest)
    report = build_plan(graph, None, settings, console=console, verbose=verbose)
    tensorrt = f"{report.flavour} {report.version}"
    return Built(report.achieved, tensorrt, report.bytes, report.seconds)


def deliver(
    prepared: Prepared,
    root: Path,
    stages: Stages,
    *,
    timing_cache: Path | None = None,
    console: Console | None = None,
    verbose: bool = False,
) -> Built:
    """Compile, verify and record a plan, then put it into the repository.

    Nothing in the repository changes before the plan has been proved.

    Args:
        prepared: the detector.
        root: the repository.
        stages: of the detector.
        timing_cache: file that remembers measured kernels; made if missing.
        console: shows progress; None is silent.
        verbose: let TensorRT's own log through.

    Raises:
        BuildError: it cannot be compiled, verified or written.
    """
    manifest = prepared.manifest
    graph = _graph_file(prepared, stages)
    settings = plan_settings(manifest)
    work = stages.folder / PLAN_FILE
    trt, flavour = tensorrt()
    # TensorRT for RTX compiles for GPUs other than those here: nothing to verify on.
    chosen = _images(manifest, stages) if flavour == "tensorrt" else Usable((), (), ())
    thresholds = settings_of(manifest).thresholds

    def make() -> dict[str, Any]:
        report = build_plan(
            graph,
            work,
            replace(settings, timing_cache=timing_cache),
            console=console,
            verbose=verbose,
        )
        gates = {}
        if chosen.images:
            batch = min(4, settings.batch.max)
            seen = verify_plan(
                work,
                graph,
                chosen.images,
                thresholds,
                batch=batch,
                most_changed=_MOST_CHANGED,
                max_pixels=manifest.limits.max_pixels,
            )
            figures = {"images": seen.images, "changed": seen.changed, "iou_mean": seen.iou_mean}
            gates["plan"] = asdict(GateRecord(True, figures, {"changed": _MOST_CHANGED}))
        return {
            **plan_fields(report, contract.IMAGES),
            "gates": gates,
            "tools": tool_versions(),  # of this build, however often it is skipped later
        }

    inputs = {
        "graph": sha256_of(graph),
        "settings": asdict(settings),
        "tensorrt": [flavour, str(trt.__version__)],
        "gpus": [asdict(gpu) for gpu in machine.gpus()],
        "images": chosen.sha256,
        "thresholds": asdict(thresholds),
        "most_changed": _MOST_CHANGED,
    }
    done = stages.run("plan", inputs, work, make, tools=("polygraphy",))
    record = _record(prepared, graph, done.report, done.seconds)
    folder = root / configs.detector_name(manifest.name) / VERSION
    try:
        write_atomically(folder / PLAN_FILE, work.read_bytes())
    except OSError as error:
        raise PlanError(f"{folder / PLAN_FILE}: cannot be written: {error.strerror}") from None
    write_record(folder / RECORD_FILE, record)
    version = f"{flavour} {trt.__version__}"
    return Built(record.achieved, version, work.stat().st_size, done.seconds)


def build_facts(prepared: Prepared, root: Path) -> dict[str, str]:
    """Return what clients are told of a detector: its record if the plan is of this very graph."""
    folder = root / configs.detector_name(prepared.manifest.name) / VERSION
    try:
        record = read_record(folder / RECORD_FILE)
    except RecordError:
        return prepared.summary()
    current = record.graph.sha256 == hashlib.sha256(prepared.graph).hexdigest()
    return record.summary() if current else prepared.summary()


def _graph_file(prepared: Prepared, stages: Stages) -> Path:
    """Write the serving graph where it can be compiled; the bytes are those of the repository."""
    path = stages.folder / "graph" / f"{prepared.manifest.name}.onnx"
    try:
        write_atomically(path, prepared.graph)
    except OSError as error:
        raise PlanError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _images(manifest: Manifest, stages: Stages) -> Usable:
    """Return the images that a plan is verified on; FP32 may come without any.

    Raises:
        ImagesError: no image in the folder, or none that can be read.
    """
    folder = manifest.gate.images or manifest.calibration.images
    if folder is None or not folder.is_dir():
        return Usable((), (), ())
    images = shuffled(find_images(folder))
    most = manifest.limits.max_pixels
    chosen = usable(images, "verification", most=_VERIFIED_IMAGES, max_pixels=most)
    for line in left_out("verification", chosen.unreadable):
        stages.say(line)
    return chosen


def _record(
    prepared: Prepared, graph: Path, plan: Mapping[str, Any], seconds: float
) -> BuildRecord:
    gates = {name: asdict(gate) for name, gate in prepared.gates.items()}
    calibration = prepared.calibration
    return record_from_fields(
        {
            **plan,
            "detector": prepared.manifest.name,
            "source": asdict(prepared.source),
            "onnx": asdict(record_file(prepared.manifest.weights)),
            "graph": asdict(record_file(graph)),
            "calibration": calibration and asdict(calibration),
            "gates": {**gates, **plan["gates"]},
            "timings_s": {**prepared.timings_s, "plan": seconds},
        }
    )
