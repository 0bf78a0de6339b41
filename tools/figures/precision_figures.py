#!/usr/bin/env python3
"""Measure what FP16 and INT8 cost the default detector, and print the tables of docs/measurements.

python tools/boards.py --out DIR --train 1000 --test 600 --seed 7 --workers 2
python tools/figures/precision_figures.py --boards DIR --out out/precision

The train split calibrates, the test split judges. Needs the extra `full`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
import onnx
from rich.console import Console
from tridet.cli.options import CommaList, some_of
from tridet.processing.parameters import NmsParameters
from tridet_bench.machine import this_machine
from tridet_build.datasets.images import find_images
from tridet_build.datasets.truth import labels_of_images
from tridet_build.errors import BuildError
from tridet_build.gate import judge as gates
from tridet_build.gate.detections import Found, Settings, detect, session
from tridet_build.gate.report import GateReport
from tridet_build.manifest.manifest import Calibration, Manifest, load_manifest
from tridet_build.onnx.serving_graph import serving_graph
from tridet_build.precision.calibration import planes_from_canvases
from tridet_build.precision.convert import PrecisionReport, to_fp16, to_int8

PRECISIONS = ("fp32", "fp16", "int8")
_PACKAGES = ("nvidia-modelopt", "onnxruntime", "onnx", "torch", "pycocotools")
_LATENCY_RUNS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options."""

    boards: Path
    manifest: Path
    out: Path
    samples: int
    boards_judged: int
    curve: list[int]
    curve_methods: list[str]
    curve_boards: int


def _sections(args: Options, manifest: Manifest) -> Iterable[list[str]]:
    calibration = find_images(args.boards / "images" / "train")
    test = find_images(args.boards / "images" / "test")[: args.boards_judged]
    settings = _settings(manifest)
    args.out.mkdir(parents=True, exist_ok=True)

    models = {"fp32": manifest.weights}
    reports: dict[str, PrecisionReport] = {}
    for precision in PRECISIONS[1:]:
        models[precision] = args.out / f"{manifest.name}.{precision}.onnx"
    reports["fp16"] = to_fp16(
        manifest.weights, models["fp16"], input_size=manifest.input_size, images=calibration
    )
    reports["int8"] = _int8(args, manifest, calibration, args.samples, "entropy", models["int8"])
    yield _sizes(manifest, models, reports)

    start = time.perf_counter()
    before = detect(models["fp32"], test, settings, progress=_progress("fp32"))
    seconds = {"fp32": time.perf_counter() - start}
    judged: dict[str, GateReport] = {}
    for precision in PRECISIONS[1:]:
        judged[precision] = _gate(
            args.out, models, precision, test, settings, before, manifest.weights
        )
        seconds[precision] = judged[precision].seconds[precision]
    yield _accuracy(judged, seconds)
    if args.curve:
        yield _curve(args, manifest, calibration, before, settings)
    yield _latency(models, settings)


def _settings(manifest: Manifest) -> Settings:
    served = manifest.thresholds
    return Settings(
        manifest.input_size.opt,
        manifest.labels,
        manifest.candidates,
        NmsParameters(served.conf, served.iou, served.max_det, served.agnostic),
        manifest.limits.max_pixels,
        manifest.threads,
    )


def _int8(
    args: Options,
    manifest: Manifest,
    images: Sequence[Path],
    samples: int,
    method: Any,
    out: Path,
) -> PrecisionReport:
    record = out.with_suffix(".json")
    asked = {"boards": str(args.boards), "samples": samples, "method": method}
    made = _made(record, out, manifest.weights, asked)
    if made:
        return made
    report = to_int8(
        manifest.weights,
        out,
        images=images,
        input_size=manifest.input_size,
        settings=Calibration(samples=samples, method=method),
        cache=args.out / "cache",
        progress=_progress(f"{method} {samples}"),
    )
    record.write_text(json.dumps({"asked": asked, "report": report.to_dict()}, indent=1) + "\n")
    return report


def _made(record: Path, out: Path, weights: Path, asked: dict[str, Any]) -> PrecisionReport | None:
    """Return the report of an earlier, interrupted run that built just this."""
    if not record.is_file() or not out.is_file():
        return None
    content = json.loads(record.read_text())
    report = PrecisionReport(**content["report"])
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (weights, out)]
    same = content["asked"] == asked and digests == [report.source_sha256, report.sha256]
    return report if same else None


def _gate(
    out: Path,
    models: dict[str, Path],
    precision: str,
    images: Sequence[Path],
    settings: Settings,
    before: Sequence[Found],
    reference: Path,
) -> GateReport:
    """Judge a variant; one beyond its limits is a figure too."""
    try:
        report = gates.gate(
            reference,
            models[precision],
            precision=precision,
            images=images,
            settings=settings,
            out=out / precision,
            before=before,
            progress=_progress(precision),
        )
    except gates.GateFailedError as error:
        print(f"precision_figures.py: {error}", file=sys.stderr)
        report = error.report
    Console(stderr=True).print(gates.gate_table([report]))
    return report


def _sizes(
    manifest: Manifest, models: dict[str, Path], reports: dict[str, PrecisionReport]
) -> list[str]:
    rows = []
    for precision in PRECISIONS:
        model = onnx.load(models[precision])
        served = serving_graph(
            models[precision],
            input_size=manifest.input_size,
            classes=len(manifest.labels),
            candidates=manifest.candidates,
        )
        report = reports.get(precision)
        heavy = report.heavy_nodes if report else {"float32": _heavy(model)}
        rows.append(
            [
                precision.upper(),
                f"{models[precision].stat().st_size / 1e6:.2f} MB",
                str(len(model.graph.node)),
                str(len(served.graph.node)),
                " / ".join(str(heavy.get(k, 0)) for k in ("float32", "float16", "int8")),
                _counts(report.plumbing if report else {}),
                _counts(report.seconds if report else {}),
            ]
        )
    return _markdown(
        [
            "",
            "file",
            "nodes",
            "nodes as served",
            "convolutions and matrix products FP32 / FP16 / INT8",
            "casts and Q/DQ",
            "seconds",
        ],
        rows,
    )


def _heavy(model: onnx.ModelProto) -> int:
    return sum(
        node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm") for node in model.graph.node
    )


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def _accuracy(judged: dict[str, GateReport], seconds: dict[str, float]) -> list[str]:
    first = next(iter(judged.values()))
    reference = first.reference_map
    rows = [["FP32", *_maps(reference, None), "-", "-", "-", "-", f"{seconds['fp32']:.0f}"]]
    for precision, report in judged.items():
        seen = report.comparison
        rows.append(
            [
                precision.upper(),
                *_maps(report.variant_map, reference),
                f"{seen.matched} of {seen.reference}",
                f"{seen.missed} / {seen.extra}",
                f"{seen.iou_mean:.4f} / {seen.iou_p5:.4f}",
                f"{seen.drift_mean:+.4f} / {seen.drift_p95:.4f} / {seen.drift_max:.4f}",
                f"{seconds[precision]:.0f}",
            ]
        )
    return _markdown(
        [
            f"{first.comparison.images} boards",
            "mAP50",
            "mAP50-95",
            "matched",
            "missed / extra",
            "IoU mean / 5 %",
            "score drift mean / 95 % / most",
            "seconds",
        ],
        rows,
    )


def _maps(found: Any, reference: Any) -> list[str]:
    if found is None:
        return ["-", "-"]
    values = [(found.map50, 0.0), (found.map50_95, 0.0)]
    if reference is None:
        return [f"{value:.4f}" for value, _ in values]
    drops = [found.map50 - reference.map50, found.map50_95 - reference.map50_95]
    return [f"{v:.4f} ({d:+.4f})" for (v, _), d in zip(values, drops, strict=True)]


def _latency(models: dict[str, Path], settings: Settings) -> list[str]:
    """Time the plain graph, given floats, against the serving graph, given bytes, in turns."""
    rng = np.random.default_rng(0)
    size = settings.input_size
    rows = []
    for precision in PRECISIONS:
        plain = session(models[precision].read_bytes(), settings.threads)
        served = session(
            serving_graph(
                models[precision],
                input_size=size,
                classes=len(settings.labels),
                candidates=settings.candidates,
            ).SerializeToString(),
            settings.threads,
        )
        row = [precision.upper()]
        for batch in (1, 4):
            canvases = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
            planes = planes_from_canvases(canvases)
            name = plain.get_inputs()[0].name

            def run_plain(planes: Any = planes, name: str = name, plain: Any = plain) -> None:
                plain.run(None, {name: planes})

            def run_served(canvases: Any = canvases, served: Any = served) -> None:
                served.run(None, {"images": canvases})

            times = _interleaved([run_plain, run_served], _LATENCY_RUNS // batch)
            row += [f"{value:.1f}" for value in times]
        rows.append(row)
    return _markdown(
        [
            "ORT CPU, median ms",
            "plain, batch 1",
            "serving graph, batch 1",
            "plain, batch 4",
            "serving graph, batch 4",
        ],
        rows,
    )


def _interleaved(calls: Sequence[Callable[[], None]], runs: int) -> list[float]:
    times: list[list[float]] = [[] for _ in calls]
    for run in range(runs + 3):
        for call, found in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if run >= 3:  # the first ones warm up
                found.append(1000 * (time.perf_counter() - start))
    return [statistics.median(found) for found in times]


def _curve(
    args: Options,
    manifest: Manifest,
    calibration: Sequence[Path],
    before: Sequence[Found],
    settings: Settings,
) -> list[str]:
    seen = before[: args.curve_boards]
    boards = [found.image for found in seen]
    labelled = labels_of_images(boards, settings.labels)
    if labelled is None:
        raise BuildError(f"{boards[0].parent}: expected labels of these boards, found none")
    reference = gates.scores_of(seen, labelled, settings)
    rows = [["FP32", "-", *_maps(reference, None), "-"]]
    for method in args.curve_methods:
        for samples in args.curve:
            out = args.out / f"{manifest.name}.{method}.{samples}.onnx"
            report = _int8(args, manifest, calibration, samples, method, out)
            found = detect(out, boards, settings, progress=_progress(f"{method} {samples}"))
            scores = gates.scores_of(found, labelled, settings)
            record = report.calibration or {}
            cached = " (cached scales)" if record.get("from_cache") else ""
            row = [f"INT8, {method}", str(record.get("samples"))]
            rows.append(
                [*row, *_maps(scores, reference), f"{sum(report.seconds.values()):.0f}{cached}"]
            )
            print("| " + " | ".join(rows[-1]) + " |", file=sys.stderr, flush=True)
    header = [f"{len(seen)} boards", "calibration images", "mAP50", "mAP50-95", "seconds to build"]
    return _markdown(header, rows)


def _heading(arguments: Sequence[str]) -> str:
    machine = this_machine(None, _PACKAGES)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"`python tools/figures/precision_figures.py {shlex.join(arguments)}`\n\n"
        f"{machine.date}; {machine.cpu}, {machine.cores} cores; {versions}"
    )


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _progress(what: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done == total or (done % 100 < 4 and done >= 100):
            print(f"{what}: {done}/{total}", file=sys.stderr, flush=True)

    return show


_PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--boards", type=_PATH, required=True, help="What tools/boards.py wrote.")
@click.option("--manifest", type=_PATH, default=Path("models/pcb"), help="The detector.")
@click.option("--out", type=_PATH, default=Path("out/precision"), help="Folder to write.")
@click.option("--samples", type=int, default=500, help="Calibration images of INT8.")
@click.option("--boards-judged", type=int, default=600, help="Boards of the test split.")
@click.option(
    "--curve",
    default="50,100,200,500,1000",
    type=CommaList(int, "numbers like 50,100", skip_empty=True),
    help="Numbers of calibration images to compare.",
)
@click.option(
    "--curve-methods",
    default="entropy",
    type=some_of(("entropy", "minmax")),
    help="Calibration methods to compare.",
)
@click.option(
    "--curve-boards", type=int, default=100, help="Boards that judge each point of the curve."
)
def main(**options: Any) -> None:
    """Measure what FP16 and INT8 cost the default detector.

    Prints the tables of docs/measurements/precision.md. The train split of --boards calibrates, its
    test split judges. Needs the extra `full`.
    """
    args = Options(**options)
    manifest = load_manifest(args.manifest)
    print(_heading(sys.argv[1:]), flush=True)
    for lines in _sections(args, manifest):
        print("\n" + "\n".join(lines), flush=True)


if __name__ == "__main__":
    program.run(main, "precision_figures.py", BuildError)
