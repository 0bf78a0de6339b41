#!/usr/bin/env python3
"""Check a data set before training: images, labels, balance, sizes, leakage between splits.

python tools/check_dataset.py data/boards/data.yaml
python tools/check_dataset.py annotations/train.json annotations/val.json

Writes report.html and report.json. Ends with 1 if there is an error, with 0 if there are only
warnings.
"""

from __future__ import annotations

import program

import sys
from dataclasses import replace
from pathlib import Path

import click
from dataset_checks import Checked, check, check_page, json_text, rich_tables, scan
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tridet.files import write_bytes
from tridet_build.datasets.dataset import Dataset
from tridet_build.datasets.read import read_dataset
from tridet_build.errors import DataError

_PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="DATA...")
@click.option(
    "--images", type=_PATH, help="Folder of a COCO file's images, if not found by itself."
)
@click.option("--imgsz", type=click.IntRange(32), default=640, help="Input size in pixels.")
@click.option("--out", type=_PATH, default=Path("out/check-data"), help="Gets the reports.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
def main(
    paths: tuple[Path, ...], images: Path | None, imgsz: int, out: Path, workers: int | None
) -> None:
    """Check a data YAML, or the COCO files of one data set, each of which is a split."""
    try:
        dataset = _joined([read_dataset(path, images) for path in paths])
        checked = _check(dataset, imgsz, workers)
        out.mkdir(parents=True, exist_ok=True)
        write_bytes(out / "report.json", json_text(checked).encode())
        write_bytes(out / "report.html", check_page(checked).encode(errors="backslashreplace"))
    except KeyboardInterrupt:
        print("check_dataset.py: interrupted, nothing written", file=sys.stderr)
        sys.exit(130)
    console = Console()
    for table in rich_tables(checked):
        console.print(table)
    errors, warnings = checked.count("error"), checked.count("warning")
    console.print(f"{errors} errors, {warnings} warnings", style="red" if errors else "green")
    console.print(f"report: {out / 'report.html'}", soft_wrap=True, highlight=False)
    sys.exit(1 if errors else 0)


def _joined(datasets: list[Dataset]) -> Dataset:
    """One data set with the splits of all.

    Raises:
        DataError: their names differ.
    """
    first = datasets[0]
    for other in datasets[1:]:
        if other.names != first.names:
            raise DataError(
                f"{other.file}: expected the classes of {first.file} "
                f"({', '.join(first.names)}), got {', '.join(other.names)}"
            )
    splits = [split for dataset in datasets for split in dataset.splits]
    if len({split.name for split in splits}) < len(splits):
        # Exports such as Roboflow's name every split's file alike.
        splits = [
            replace(split, name=dataset.file.parent.name)
            for dataset in datasets
            for split in dataset.splits
        ]
    faults = tuple(fault for dataset in datasets for fault in dataset.faults)
    return Dataset(first.file, first.names, tuple(splits), faults)


def _check(dataset: Dataset, imgsz: int, workers: int | None) -> Checked:
    images = [image.path for split in dataset.splits for image in split.images]
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("", total=len(images))
        scans = scan(images, lambda done, _: progress.update(task, completed=done), workers)
    return check(dataset, scans, imgsz)


if __name__ == "__main__":
    program.run(main, "check_dataset.py", DataError)
