#!/usr/bin/env python3
"""Draw synthetic bare-board images with labelled defects.

python tools/boards.py --out DIR --train 4000 --val 500 --test 600 --seed 0 --workers 8
python tools/boards.py samples --out models/pcb/samples --overwrite
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tools/ is not an installed package

from pcb_boards import BoardsError, plan_splits, write_dataset, write_samples


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="boards.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="?", choices=("dataset", "samples"), default="dataset", help="what to draw"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--train", type=int, default=0, metavar="N", help="boards in the train split"
    )
    parser.add_argument("--val", type=int, default=0, metavar="N", help="boards in the val split")
    parser.add_argument("--test", type=int, default=0, metavar="N", help="boards in the test split")
    parser.add_argument("--seed", type=int, default=0, help="each seed gives other boards")
    parser.add_argument(
        "--clean-fraction", type=float, default=0.2, metavar="F", help="share of defect-free boards"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a folder that is not empty"
    )
    return parser.parse_args(argv)


def _show(done: int, total: int) -> None:
    if done == total or done % 200 == 0:
        print(f"{done}/{total} boards", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    args = _parse(sys.argv[1:] if argv is None else argv)
    try:
        if args.what == "samples":
            write_samples(args.out, overwrite=args.overwrite)
        else:
            counts = {"train": args.train, "val": args.val, "test": args.test}
            plans = plan_splits(args.seed, counts, args.clean_fraction)
            write_dataset(
                args.out, plans, workers=args.workers, overwrite=args.overwrite, progress=_show
            )
    except (BoardsError, OSError) as error:
        print(f"boards.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("boards.py: interrupted, nothing written", file=sys.stderr)
        return 130
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
