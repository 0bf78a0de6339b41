#!/usr/bin/env python3
"""Evaluate detectors through the running server: mAP, curves, confusion, latency, worst images.

python tools/evaluate.py data/boards/data.yaml --model pcb
python tools/evaluate.py annotations.json --model a --model b --repository model_repository
python tools/evaluate.py --compare out/eval/fp32 out/eval/fp16 out/eval/int8

Each run writes predictions.jsonl, results.json and report.html; one that was interrupted goes on
where it was when it is started again.
"""

from __future__ import annotations

import program

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from evaluation import (
    REPORT_NAME,
    EvaluationError,
    Request,
    Results,
    compare,
    evaluate,
    read_results,
    tables,
)
from local_triton import LocalServer, ServeError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tridet import Detector, TridetError
from tridet.cli.console import stdout_console
from tridet.processing.contract import ENCODED_SUFFIX
from tridet.transports import TRANSPORTS
from tridet_build.datasets.read import read_dataset
from tridet_build.errors import DataError

_PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="DATA | --compare RUN...")
@click.option("--model", "models", multiple=True, default=["pcb"], help="Detector; repeatable.")
@click.option("--url", default="localhost:8001", envvar="TRIDET_URL", help="Server's gRPC address.")
@click.option(
    "--repository", type=_PATH, help="Serve this folder for the run, in place of the --url."
)
@click.option("--split", help="Of a data YAML.  [default: test, else val]")
@click.option(
    "--images", type=_PATH, help="Folder of a COCO file's images, if not found by itself."
)
@click.option("--out", type=_PATH, default=Path("out/eval"), help="Gets a folder for each run.")
@click.option("--name", help="Of the run and its folder.  [default: the model's]")
@click.option("--conf", type=click.FloatRange(0, 1), default=0.001, help="Lowest confidence.")
@click.option("--iou", type=click.FloatRange(0, 1), help="Of NMS.  [default: the model's]")
@click.option("--max-det", type=click.IntRange(1), default=300, help="Detections per image.")
@click.option("--imgsz", type=click.IntRange(32), help="Pixels.  [default: the model's]")
@click.option("--transport", type=click.Choice(TRANSPORTS), default="auto")
@click.option("--in-flight", type=click.IntRange(1, 1024), default=8, help="Images under way.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    help="Seconds that one image may take.",
)
@click.option("--compare", "comparing", is_flag=True, help="Put earlier runs side by side.")
def main(
    paths: tuple[Path, ...],
    models: tuple[str, ...],
    url: str,
    repository: Path | None,
    split: str | None,
    images: Path | None,
    out: Path,
    name: str | None,
    conf: float,
    iou: float | None,
    max_det: int,
    imgsz: int | None,
    transport: str,
    in_flight: int,
    timeout_s: float,
    comparing: bool,
) -> None:
    """Evaluate detectors through the server on a data YAML, a COCO file or a folder with one."""
    try:
        if comparing:
            _compare([read_results(path) for path in paths], out)
            return
        if len(paths) != 1 or (name and len(models) > 1):
            raise EvaluationError("expected one data set, and --name with one --model only")
        dataset = read_dataset(paths[0], images)
        request = Request(conf, iou, max_det, imgsz, transport)  # type: ignore[arg-type]
        runs = []
        with _server(url, repository, models) as address:
            for model in models:
                folder = out / (name or model)
                with (
                    Detector(
                        address, model, transport=request.transport, timeout_s=timeout_s, retries=8
                    ) as detector,
                    _progress(model) as show,
                ):
                    run = evaluate(
                        detector,
                        dataset,
                        split,
                        folder,
                        request,
                        name=name or model,
                        in_flight=in_flight,
                        progress=show,
                    )
                runs.append(run)
                _print(run, folder)
        if len(runs) > 1:
            _compare(runs, out)
    except KeyboardInterrupt:
        print("evaluate.py: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


@contextmanager
def _server(url: str, repository: Path | None, models: tuple[str, ...]) -> Iterator[str]:
    if repository is None:
        yield url
        return
    names = [part for model in models for part in (model, model + ENCODED_SUFFIX)]
    with LocalServer(repository, models=names) as server:
        yield server.grpc_url


@contextmanager
def _progress(model: str) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn(model), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show


def _print(run: Results, folder: Path) -> None:
    console = stdout_console()
    for table in (tables.summary, tables.operating, tables.classes, tables.sizes):
        console.print(table(run).rich(), "")
    console.print(f"report: {folder / REPORT_NAME}", soft_wrap=True, highlight=False)


def _compare(runs: list[Results], out: Path) -> None:
    compare(runs, out)
    console = stdout_console()
    for table in (tables.compared, tables.compared_classes):
        console.print(table(runs).rich(), "")
    console.print(f"report: {out / REPORT_NAME}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    program.run(main, "evaluate.py", DataError, EvaluationError, ServeError, TridetError)
