"""Measure tridet beside two other ways to serve a detector, on one real tritonserver.

    python tools/figures/bench.py [--quick] [--model models/pcb] [--markdown FILE] [--json FILE]

First with a stub detector that answers at once, so that only the pipeline is measured; then with a
real one on the CPU beside bare ONNX Runtime. `make bench` runs it;
docs/measurements/pipeline.md explains the figures.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
import tritonclient.grpc as triton
from bench_pipelines.errors import BenchError
from bench_pipelines.frames import SIZES, write_frames
from bench_pipelines.measure import Case, opened, run_cases, summarize
from bench_pipelines.real import run_real, write_real_repository
from bench_pipelines.repository import write_repository
from bench_pipelines.summary import CaseSummary, RealSummary, Target, real_target, targets
from bench_pipelines.tables import (
    LEGEND,
    preamble,
    real_table,
    round_trip_tables,
    step_table,
    target_table,
)
from local_triton import LocalServer, ServeError
from rich.console import Console
from tridet.cli.console import stdout_console
from tridet.cli.options import positive_integers, some_of
from tridet_bench.machine import OtherLoad, this_machine
from tridet_bench.table import Table

_ROOT = Path(__file__).resolve().parents[2]
_DEFAULT_MODEL = Path("models/pcb")
_REAL_SIZE = "1080p"
# What --quick sets: every case once, in seconds. Its figures mean nothing.
_QUICK: dict[str, Any] = {
    "rounds": 1,
    "frames": 8,
    "sizes": ("720p", "1080p"),
    "concurrency": (1, 2),
    "real_concurrency": (1, 2),
}

Progress = Callable[[str], None]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1), default=5, help="How often each case is run.")
@click.option("--frames", type=click.IntRange(1), default=40, help="Calls in a case and round.")
@click.option(
    "--sizes",
    default=",".join(SIZES),
    type=some_of(SIZES),
    help="Frame sizes, comma-separated.",
)
@click.option(
    "--concurrency",
    default="1,8",
    type=positive_integers("1,8"),
    help="Calls at a time with the stub, comma-separated.",
)
@click.option(
    "--real-concurrency",
    default="1,2,4,8",
    type=positive_integers("1,8"),
    help="Calls at a time with the real detector; also the batches of bare ONNX Runtime.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    default=None,
    show_default="models/pcb, if its weights are there",
    help="Folder of the real detector.",
)
@click.option("--only", type=click.Choice(["stub", "real"]), help="Run one of the two parts.")
@click.option("--quick", is_flag=True, help="A smoke run of seconds; its figures mean nothing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write tables.")
def main(
    model: Path | None,
    only: str | None,
    quick: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    **settings: Any,
) -> None:
    """Measure tridet beside a naive ensemble, Ultralytics' client and bare ONNX Runtime."""
    console = stdout_console()
    if quick:
        settings = _QUICK
    report = _run(console, model, only, settings)
    _write(json_file, json.dumps(report["json"], indent=1))
    _write(markdown_file, report["markdown"])


def _run(
    console: Console, model: Path | None, only: str | None, settings: dict[str, Any]
) -> dict[str, Any]:
    """Run what is asked for and print the tables; return the report as JSON and as Markdown."""
    load = OtherLoad()
    cases: list[CaseSummary] = []
    real: list[RealSummary] = []
    tables: list[Table] = []
    goals: list[Target] = []
    triton_version = ""

    def show(*more: Table) -> None:
        # At once: what has been measured survives a Ctrl-C in the part that follows.
        tables.extend(more)
        for table in more:
            console.print(table.rich())

    if only != "real":
        with _Status(console) as say:
            triton_version, cases = _run_stub(say, settings)
        show(*round_trip_tables(cases), step_table(cases))
        goals += targets(cases)
    folder = _real_model(console, model) if only != "stub" else None
    if folder is not None:
        with _Status(console) as say:
            triton_version, real = _run_real(say, folder, settings)
        show(real_table(real, folder.resolve().name, _REAL_SIZE))
        goals.append(real_target(real))
    if goals:
        show(target_table(goals))
    machine = this_machine(triton_version, ("onnxruntime",))
    command = shlex.join(["python", "tools/figures/bench.py", *sys.argv[1:]])
    others = load.cores()
    facts = preamble(machine, command, others, settings["rounds"])
    console.print(*facts, LEGEND, sep="\n")
    text = ["\n".join(f"- {fact}" for fact in facts), LEGEND, *(t.markdown() for t in tables)]
    return {
        "markdown": "\n\n".join(text) + "\n",
        "json": {
            "machine": asdict(machine),
            "command": command,
            "other_programs_cores": others,
            "settings": settings,
            "cases": [asdict(case) for case in cases],
            "real": [asdict(row) for row in real],
            "targets": [{**asdict(goal), "met": goal.met} for goal in goals],
        },
    }


def _run_stub(say: Progress, settings: dict[str, Any]) -> tuple[str, list[CaseSummary]]:
    with tempfile.TemporaryDirectory(prefix="tridet-bench-") as folder:
        say("starting tritonserver with the stub detector")
        repository, pictures = _folders(Path(folder))
        write_repository(repository)
        with LocalServer(repository) as server, opened(server) as asked:
            records = run_cases(
                asked,
                settings["sizes"],
                settings["concurrency"],
                pictures,
                rounds=settings["rounds"],
                frames=settings["frames"],
                progress=_case_progress(say),
            )
            cases = [summarize(case, record) for case, record in records.items()]
            return _triton_version(server), cases


def _run_real(
    say: Progress, folder: Path, settings: dict[str, Any]
) -> tuple[str, list[RealSummary]]:
    with tempfile.TemporaryDirectory(prefix="tridet-bench-") as temporary:
        root, pictures = _folders(Path(temporary))
        say(f"starting tritonserver with {folder}")
        manifest = write_real_repository(folder, root)
        with LocalServer(root) as server, opened(server) as asked:
            rows = run_real(
                asked,
                manifest,
                root,
                settings["real_concurrency"],
                pictures,
                size=_REAL_SIZE,
                rounds=settings["rounds"],
                frames=settings["frames"],
                progress=_case_progress(say),
            )
            return _triton_version(server), rows


def _folders(parent: Path) -> tuple[Path, Path]:
    """Make the folders of the repository and of the frames, and write the frames."""
    repository, pictures = parent / "repository", parent / "frames"
    for folder in (repository, pictures):
        folder.mkdir()
    write_frames(pictures)
    return repository, pictures


def _real_model(console: Console, model: Path | None) -> Path | None:
    """Return the detector to measure: the one asked for, else the default one if it is whole."""
    if model is not None:
        return model
    default = _ROOT / _DEFAULT_MODEL
    if list(default.glob("*.onnx")):
        return default
    console.print(f"{_DEFAULT_MODEL} has no weights yet: the real detector is left out (--model)")
    return None


def _case_progress(say: Progress) -> Callable[[Case], None]:
    return lambda case: say(f"{case.pipeline}, {case.size}, concurrency {case.concurrency}")


def _triton_version(server: LocalServer) -> str:
    with triton.InferenceServerClient(server.grpc_url) as client:
        return str(client.get_server_metadata().version)


class _Status(AbstractContextManager[Progress]):
    """A line that says what is being measured; nothing where no terminal shows it."""

    def __init__(self, console: Console) -> None:
        self._status = console.status("") if console.is_terminal else None
        self._context: AbstractContextManager[Any] = self._status or nullcontext()

    def __enter__(self) -> Progress:
        self._context.__enter__()
        return self._status.update if self._status else lambda _text: None

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror or error}") from None


if __name__ == "__main__":
    program.run(main, "bench", BenchError, ServeError)
