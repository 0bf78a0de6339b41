#!/usr/bin/env python3
"""Draw synthetic bare-board images with labelled defects.

python tools/boards.py --out DIR --train 4000 --val 500 --test 600 --seed 0 --workers 8
python tools/boards.py samples --out models/pcb/samples --overwrite
"""

from __future__ import annotations

import program

import os
import sys
from pathlib import Path

import click
from pcb_boards import BoardsError, plan_splits, write_dataset, write_samples


def _show(done: int, total: int) -> None:
    if done == total or done % 200 == 0:
        print(f"{done}/{total} boards", file=sys.stderr, flush=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("what", type=click.Choice(["dataset", "samples"]), default="dataset")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--train", type=int, default=0, metavar="N", help="Boards in the train split.")
@click.option("--val", type=int, default=0, metavar="N", help="Boards in the val split.")
@click.option("--test", type=int, default=0, metavar="N", help="Boards in the test split.")
@click.option("--seed", type=int, default=0, help="Each seed gives other boards.")
@click.option(
    "--clean-fraction", type=float, default=0.2, metavar="F", help="Share of defect-free boards."
)
@click.option(
    "--workers",
    type=int,
    default=os.cpu_count() or 1,
    show_default="one per core",
    help="Processes.",
)
@click.option("--overwrite", is_flag=True, help="Replace a folder that is not empty.")
def main(
    what: str,
    out: Path,
    train: int,
    val: int,
    test: int,
    seed: int,
    clean_fraction: float,
    workers: int,
    overwrite: bool,
) -> None:
    """Draw a data set of synthetic bare-board images with labelled defects, or the samples."""
    try:
        if what == "samples":
            write_samples(out, overwrite=overwrite)
        else:
            plans = plan_splits(seed, {"train": train, "val": val, "test": test}, clean_fraction)
            write_dataset(out, plans, workers=workers, overwrite=overwrite, progress=_show)
    except KeyboardInterrupt:
        print("boards.py: interrupted, nothing written", file=sys.stderr)
        sys.exit(130)
    print(f"wrote {out}")


if __name__ == "__main__":
    program.run(main, "boards.py", BoardsError)
