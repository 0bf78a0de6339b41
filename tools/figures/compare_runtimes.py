"""The classic table: one detector under PyTorch, ONNX Runtime and TensorRT, latency and images/s.

    python tools/figures/compare_runtimes.py [--weights models/pcb/pcb.pt]
                [--onnx models/pcb/pcb.onnx] [--plan model.plan] [--batch 1,8]

The network alone, its input ready in memory: no server, no preprocessing, no NMS. What is not
installed or has no device here is left out, with a message. PyTorch needs the extra `full`. The
runtimes take turns, a round each, so that a slow minute of a shared machine hits them all; `tridet
bench` measures the same detector as it is served.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import numpy as np
import numpy.typing as npt
from tridet.cli.console import stdout_console
from tridet.cli.options import positive_integers
from tridet_bench.latency import percentile
from tridet_bench.machine import busy_cores, this_machine
from tridet_bench.table import Table, number

_PCB = Path(__file__).resolve().parents[2] / "models" / "pcb"
_PACKAGES = ("torch", "ultralytics", "onnxruntime", "tensorrt")
FloatArray = npt.NDArray[np.float32]
Infer = Callable[[FloatArray], FloatArray]
"""float32 [n, 3, S, S] in [0, 1] to the raw predictions, float32 [n, 4 + classes, anchors]."""


class CompareError(Exception):
    """There is nothing to compare, or a file cannot be used."""


@dataclass(frozen=True)
class Row:
    """One runtime at one batch size."""

    runtime: str
    batch: int
    p50_ms: float
    p95_ms: float
    images_per_s: float


def torch_runtimes(weights: Path) -> dict[str, Infer]:
    """Return PyTorch on the CPU, and on a GPU in FP32 and FP16."""
    import torch
    from ultralytics import YOLO

    try:
        loaded: Any = YOLO(str(weights)).model
    except Exception as error:  # it raises whatever its unpickling does
        raise CompareError(f"{weights}: {str(error).splitlines()[0]}") from None
    network = loaded.float().fuse(verbose=False).eval()

    def on(device: str, dtype: Any) -> Infer:
        moved = copy.deepcopy(network).to(device, dtype)

        def infer(images: FloatArray) -> FloatArray:
            with torch.inference_mode():
                found = moved(torch.from_numpy(images).to(device, dtype))
                raw = found[0] if isinstance(found, (tuple, list)) else found
                # Back on the CPU: a GPU's call returns before it is done.
                array: FloatArray = raw.float().cpu().numpy()
                return array

        return infer

    found = {"PyTorch CPU": on("cpu", torch.float32)}
    if torch.cuda.is_available():
        found["PyTorch CUDA"] = on("cuda", torch.float32)
        found["PyTorch CUDA FP16"] = on("cuda", torch.float16)
    return found


def onnx_runtimes(path: Path) -> dict[str, Infer]:
    """Return ONNX Runtime on the CPU and on a GPU."""
    import onnxruntime

    def on(provider: str) -> Infer:
        try:
            session = onnxruntime.InferenceSession(str(path), providers=[provider])
        except Exception as error:  # its exceptions have no common base
            raise CompareError(f"{path}: {str(error).splitlines()[0]}") from None
        name = session.get_inputs()[0].name

        def infer(images: FloatArray) -> FloatArray:
            raw: FloatArray = session.run(None, {name: images})[0]
            return raw

        return infer

    names = {"CPUExecutionProvider": "CPU", "CUDAExecutionProvider": "CUDA"}
    return {
        f"ONNX Runtime {names[provider]}": on(provider)
        for provider in reversed(onnxruntime.get_available_providers())
        if provider in names
    }


def take_turns(
    runtimes: dict[str, Infer], batches: Sequence[int], size: int, rounds: int, calls: int
) -> list[Row]:
    """Time every runtime at every batch size; the first call of each is not counted."""
    rng = np.random.default_rng(0)
    rows = []
    for batch in batches:
        images = rng.random((batch, 3, size, size), dtype=np.float32)
        seconds: dict[str, list[float]] = {name: [] for name in runtimes}
        for infer in runtimes.values():
            infer(images)
        for _ in range(rounds):
            for name, infer in runtimes.items():
                for _ in range(calls):
                    began = time.perf_counter()
                    infer(images)
                    seconds[name].append(time.perf_counter() - began)
        for name, taken in seconds.items():
            p50_ms, p95_ms = percentile(taken, 50) * 1e3, percentile(taken, 95) * 1e3
            rows.append(Row(name, batch, p50_ms, p95_ms, batch * len(taken) / sum(taken)))
    return rows


def tensorrt_rows(plan: Path, batches: Sequence[int]) -> list[Row]:
    """Time a plan with CUDA graphs: tridet's serving graph, so decoding is in it."""
    from tridet_build.errors import BuildError
    from tridet_build.plan.inspect import measure

    try:
        speeds = measure(plan, batches)
    except BuildError as error:
        raise CompareError(str(error)) from None
    return [
        Row("TensorRT", s.batch, s.latency_p50_ms, s.latency_p95_ms, s.images_per_s)
        for s in speeds
        if s.cuda_graph
    ]


def farthest(runtimes: dict[str, Infer], size: int) -> float:
    """Return how far the predictions are apart at most, in pixels: else they are not one model."""
    images = np.random.default_rng(1).random((1, 3, size, size), dtype=np.float32)
    found = [infer(images) for infer in runtimes.values()]
    if any(raw.shape != found[0].shape for raw in found):
        raise CompareError(f"the runtimes answer with {', '.join(str(raw.shape) for raw in found)}")
    return max(float(np.abs(raw - found[0]).max()) for raw in found)


def table_of(rows: Sequence[Row]) -> Table:
    """Return the table; the ratio is to the first runtime at the same batch size."""
    first = {row.batch: row for row in reversed(rows)}
    columns = ("runtime", "batch", "p50 ms", "p95 ms", "images/s", f"to {rows[0].runtime}")
    cells = [
        (
            row.runtime,
            str(row.batch),
            *(number(figure, 1) for figure in (row.p50_ms, row.p95_ms, row.images_per_s)),
            f"{row.images_per_s / first[row.batch].images_per_s:.2f} x",
        )
        for row in rows
    ]
    return Table("The network alone", columns, cells)


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--weights", type=_FILE, default=_PCB / "pcb.pt", help="For PyTorch.")
@click.option("--onnx", type=_FILE, default=_PCB / "pcb.onnx", help="The same as ONNX.")
@click.option("--plan", type=_FILE, help="The same as a TensorRT plan, built on this machine.")
@click.option(
    "--batch", "batches", default="1,8", type=positive_integers("1,8"), help="Images of one call."
)
@click.option("--size", type=click.IntRange(32), default=640, help="Input side, pixels.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="Turns of each runtime.")
@click.option("--calls", type=click.IntRange(1), default=10, help="Calls in a turn.")
def main(
    weights: Path,
    onnx: Path,
    plan: Path | None,
    batches: list[int],
    size: int,
    rounds: int,
    calls: int,
) -> None:
    """Compare PyTorch, ONNX Runtime and TensorRT on one detector, without a server."""
    console = stdout_console()
    busy = busy_cores(1.0)
    runtimes: dict[str, Infer] = {}
    loaders: dict[tuple[str, str], Callable[[], dict[str, Infer]]] = {
        ("ultralytics", "tridet-build[full]"): lambda: torch_runtimes(weights),
        ("onnxruntime", "tridet-build"): lambda: onnx_runtimes(onnx),
    }
    for (package, extra), load in loaders.items():
        if importlib.util.find_spec(package):
            runtimes |= load()
        else:
            console.print(
                f"left out: {package} is not installed; pip install '{extra}'", markup=False
            )
    if not runtimes:
        raise CompareError("expected PyTorch or ONNX Runtime, found neither")
    apart = farthest(runtimes, size)
    rows = take_turns(runtimes, batches, size, rounds, calls)
    if plan is None:
        console.print("left out: TensorRT (give a plan of this machine with --plan)")
    else:
        rows += tensorrt_rows(plan, batches)
    machine = this_machine(None, _PACKAGES)
    versions = {name: text for name, text in machine.versions.items() if text != "?"}
    console.print(table_of(rows).rich())
    console.print(
        f"{machine.date}; {machine.cpu}, {machine.cores} cores, {busy:.1f} of them busy before the "
        f"run; {', '.join(f'{name} {text}' for name, text in versions.items())}",
        soft_wrap=True,
    )
    console.print(f"{rounds} x {calls} calls; the predictions differ by {apart:.2g} at most")


if __name__ == "__main__":
    program.run(main, "compare_runtimes", CompareError)
