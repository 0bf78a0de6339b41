"""Measure the pipeline around a fast detector on a GPU machine, beside that detector alone.

    python tools/figures/gpu_bench.py --trunk trunk.pt --json gpu.json

The detector is a stand-in for the TensorRT plan; see tools/figures/gpu_bench/. Each part is printed
as soon as it is known, and the JSON is written then too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import cv2
from gpu_bench import plan as gpu_plan
from gpu_bench.pipeline import running
from gpu_bench.plan import TRANSPORTS, GpuBenchPlan, GpuBenchReport, Transport
from gpu_bench.repository import Setup
from gpu_bench.tables import cases_table, ceiling_table, limits_table
from gpu_bench.verdict import verdict
from tridet.cli.options import CommaList, positive_integers, some_of
from tridet_bench.frames import Frames
from tridet_bench.machine import this_machine
from tridet_build.errors import BuildError
from tridet_build.manifest.manifest import load_manifest

_ROOT = Path(__file__).resolve().parents[2]
_MODEL = _ROOT / "models/pcb"
_SIZE = (1280, 720)
# Of preprocess, detector and NMS; the likely best ones first, should the time not last for all.
_SETUPS = "4/2/2,8/2/2,4/1/1,2/1/1,1/1/1,8/1/2,8/2/4,8/3/2,4/2/1"


def _setup(text: str) -> list[int]:
    counts = [int(count) for count in text.split("/")]
    if len(counts) != 3 or min(counts) < 1:
        raise ValueError
    return counts


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--trunk",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="What tools/figures/gpu_bench/trunk.py made.",
)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu", "none"]),
    default="cuda",
    help="Device of the stand-in; with none it finds nothing, at once.",
)
@click.option(
    "--setups",
    default=_SETUPS,
    type=CommaList(_setup, "instances like 4/2/2,8/2/2"),
    help="Preprocess/detector/NMS instances.",
)
@click.option(
    "--clients",
    default="1,4,16,32,64",
    type=positive_integers("1,16,64"),
    help="Requests in flight.",
)
@click.option("--processes", type=click.IntRange(1), default=6, help="Client processes.")
@click.option("--case-s", type=click.FloatRange(0.1), default=3.0, help="Seconds per case.")
@click.option("--budget-s", type=click.FloatRange(1), default=420.0, help="Seconds in all.")
@click.option("--max-batch", type=click.Choice(["1", "2", "4", "8", "16", "32"]), default="32")
@click.option("--gpus", type=click.IntRange(1), default=1, help="GPUs that the stand-ins share.")
@click.option(
    "--transports",
    default=",".join(TRANSPORTS),
    type=some_of(TRANSPORTS),
    help="Transports to compare with the best setup.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    trunk: Path,
    device: str,
    setups: list[list[int]],
    clients: list[int],
    processes: int,
    case_s: float,
    budget_s: float,
    max_batch: str,
    gpus: int,
    transports: list[Transport],
    json_file: Path | None,
) -> None:
    """Measure the pipeline around a stand-in detector, and that detector alone."""
    started_s = time.monotonic()
    report = GpuBenchReport()
    with tempfile.TemporaryDirectory(prefix="tridet-gpu-bench-") as folder:
        manifest = load_manifest(_MODEL)
        plan = GpuBenchPlan(
            device=device,
            trunk=trunk,
            frames=_boards(Path(folder)),
            setups=[Setup(*row, device, int(max_batch), gpus) for row in setups],
            transports=transports,
            clients=clients,
            case_s=case_s,
            deadline_s=started_s + budget_s,
            serve=lambda setup: running(
                manifest,
                setup,
                trunk,
                processes=processes,
                duration_s=case_s,
                warmup_s=case_s / 3,
            ),
        )
        facts = {
            "machine": asdict(this_machine(None, ("torch", "opencv-python-headless"))),
            "command": sys.argv[1:],
        }
        print(json.dumps(facts), f"{len(os.sched_getaffinity(0))} cores", flush=True)

        def shown(part: str) -> None:
            _show(part, report)
            if json_file is not None:
                json_file.write_text(json.dumps({**facts, **asdict(report)}, indent=1))

        gpu_plan.run(plan, report, shown)
    print("\n".join(["", *verdict(report), f"took {time.monotonic() - started_s:.0f} s"]))
    if not report.transports:
        sys.exit(1)


def _boards(folder: Path) -> Frames:
    """Write the default detector's sample pictures as 1280x720 JPEGs."""
    files = []
    for path in sorted((_MODEL / "samples").glob("*.jpg")):
        target = folder / path.name
        cv2.imwrite(str(target), cv2.resize(cv2.imread(str(path)), _SIZE))
        files.append(str(target))
    return Frames(f"boards {_SIZE[0]}x{_SIZE[1]}", None, tuple(files))


def _show(part: str, report: GpuBenchReport) -> None:
    if part == "ceiling" and report.ceiling is not None:
        print(ceiling_table(report.ceiling))
    if part == "setups":
        print(cases_table("Instances", report.setups, report))
    if part == "transports":
        print(cases_table("Transports", report.transports, report))
        print(cases_table("At half of that, Poisson arrivals", report.half_load, report))
        print(limits_table(report) or "")
    print("\n".join(f"problem: {text}" for text in report.problems), flush=True)


if __name__ == "__main__":
    program.run(main, "gpu_bench", BuildError)
