#!/usr/bin/env python3
"""Train a YOLO detector on any Ultralytics data YAML, then measure it on the test split.

python tools/train.py --data DIR/data.yaml --model yolo11n.yaml --epochs 60 --batch 64 --device 0
python tools/train.py --resume runs/train/weights/last.pt
python tools/train.py --data DIR/data.yaml --model best.pt --eval-only

The run folder gets Ultralytics' own logs and plots, and metrics.json if the data has a test split.
"""

from __future__ import annotations

import program

import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


class TrainError(ValueError):
    """A request that cannot be met; the message is one line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options."""

    data: Path | None
    model: str
    imgsz: int
    epochs: int
    batch: int
    seed: int
    lr0: float | None
    augmentation: Path | None
    close_mosaic: int
    resume: Path | None
    device: str | None
    workers: int
    cache: str
    amp: str
    project: Path
    name: str
    eval_only: bool


def check_arguments(args: Settings) -> None:
    """Refuse what would only fail minutes later, and what Ultralytics reports unclearly."""
    for name, least in (
        ("epochs", 1),
        ("batch", 1),
        ("seed", 0),
        ("workers", 0),
        ("close_mosaic", 0),
    ):
        value = getattr(args, name)
        if value < least:
            raise TrainError(f"--{name.replace('_', '-')} must be {least} or more, got {value}")
    if args.imgsz < 32 or args.imgsz % 32:
        raise TrainError(f"--imgsz must be a multiple of 32, got {args.imgsz}")
    if args.resume and args.eval_only:
        raise TrainError("--resume and --eval-only exclude each other")
    if args.resume:
        if not args.resume.is_file():
            raise TrainError(f"--resume: no such file: {args.resume}")
    elif args.data is None:
        raise TrainError("--data is needed: an Ultralytics data YAML (tools/boards.py writes one)")
    if args.data is not None and not args.data.is_file():
        raise TrainError(f"--data: no such file: {args.data}")
    if args.augmentation is not None and not args.augmentation.is_file():
        raise TrainError(f"--augmentation: no such file: {args.augmentation}")
    model = Path(args.model)
    if model.suffix not in (".yaml", ".yml", ".pt"):
        raise TrainError(f"--model must end in .yaml or .pt, got {args.model}")
    # A bare name may be that of published weights, which Ultralytics fetches.
    if model.suffix == ".pt" and model.parent != Path() and not model.is_file():
        raise TrainError(f"--model: no such file: {args.model}")
    if args.eval_only and model.suffix != ".pt":
        raise TrainError(f"--eval-only needs trained weights (.pt), got {args.model}")
    if importlib.util.find_spec("ultralytics") is None:
        raise TrainError("ultralytics is not installed; run: pip install 'tridet-build[full]'")


def train(args: Settings) -> tuple[Path, Path]:
    """Train; gives the run folder and the path of the weights."""
    from ultralytics import YOLO

    if args.resume:
        # The checkpoint holds every setting of its run, the data path included.
        if _checkpoint(args.resume).get("optimizer") is None:
            # Ultralytics would warn and train something else from the start.
            raise TrainError(f"--resume: {args.resume} is of a finished run; use --model to go on")
        model = YOLO(str(args.resume))
        model.train(resume=True, device=args.device)
    else:
        assert args.data is not None  # check_arguments has seen to it
        model = YOLO(args.model)
        amp = {"off": False, "bf16": "bf16", "on": True}[args.amp]
        cache = False if args.cache == "off" else args.cache
        chosen: dict[str, Any] = _augmentation(args.augmentation)
        if args.lr0 is not None:
            # As Ultralytics sets AdamW itself; its default bias warm-up starts at 0.1, which would
            # wreck weights that are only to be fine-tuned.
            chosen |= {"optimizer": "AdamW", "lr0": args.lr0, "momentum": 0.9}
            chosen["warmup_bias_lr"] = 0.0
        model.train(
            data=str(args.data.resolve()),
            imgsz=args.imgsz,
            epochs=args.epochs,
            batch=args.batch,
            seed=args.seed,
            device=args.device,
            workers=args.workers,
            cache=cache,
            amp=amp,
            project=str(args.project.resolve()),
            name=args.name,
            cos_lr=True,
            close_mosaic=args.close_mosaic,
            deterministic=True,
            **chosen,
        )
    run = Path(model.trainer.save_dir)
    best = run / "weights" / "best.pt"
    return run, best if best.is_file() else run / "weights" / "last.pt"


def _augmentation(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict):
        raise TrainError(f"--augmentation: expected 'name: value' lines in {path}")
    return settings


def evaluate(weights: Path, data: Path, folder: Path, args: Settings) -> dict[str, Any] | None:
    """Measure on the test split and write metrics.json; None if there is no such split."""
    from detector_metrics import measure

    metrics = measure(weights, data, folder, imgsz=args.imgsz, batch=args.batch, device=args.device)
    if metrics is None:
        return None
    part = folder / "metrics.json.part"
    part.write_text(json.dumps(metrics, indent=1) + "\n")
    part.replace(folder / "metrics.json")
    return metrics


def _checkpoint(path: Path) -> dict[str, Any]:
    import torch

    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    return loaded


def _data_of(weights: Path) -> Path:
    """The data YAML that a checkpoint was trained on."""
    return Path(_checkpoint(weights)["train_args"]["data"])


_PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--data", type=_PATH, help="Ultralytics data YAML.")
@click.option(
    "--model",
    default="yolo11n.yaml",
    help="Architecture (.yaml: from scratch), weights (.pt), or the name of published weights, "
    "which Ultralytics downloads (yolo11n.pt).",
)
@click.option("--imgsz", type=int, default=640, help="Input size, a multiple of 32.")
@click.option("--epochs", type=int, default=60)
@click.option("--batch", type=int, default=64)
@click.option("--seed", type=int, default=0)
@click.option("--lr0", type=float, help="Initial learning rate; also fixes the optimizer (AdamW).")
@click.option(
    "--augmentation",
    type=_PATH,
    metavar="YAML",
    help="Augmentation settings of Ultralytics.  [default: its own]",
)
@click.option("--close-mosaic", type=int, default=10, help="Last epochs without mosaics.")
@click.option("--resume", type=_PATH, metavar="LAST_PT", help="Go on from this last.pt.")
@click.option("--device", help="cpu, 0, or 0,1.  [default: Ultralytics chooses]")
@click.option("--workers", type=int, default=min(8, os.cpu_count() or 1))
@click.option("--cache", type=click.Choice(["ram", "disk", "off"]), default="off")
@click.option(
    "--amp",
    type=click.Choice(["off", "bf16", "on"]),
    default="off",
    help="Mixed precision; 'on' lets Ultralytics download weights for a check first.",
)
@click.option("--project", type=_PATH, default=Path("runs"), help="Folder of the runs.")
@click.option("--name", default="train", help="This run's folder in --project.")
@click.option("--eval-only", is_flag=True, help="Only measure --model on the test split.")
def main(**options: Any) -> None:
    """Train a YOLO detector on any Ultralytics data YAML, then measure it on the test split.

    The run folder gets Ultralytics' own logs and plots, and metrics.json if the data has a test
    split.
    """
    args = Settings(**options)
    check_arguments(args)
    try:
        if args.eval_only:
            folder, weights = args.project.resolve() / args.name, Path(args.model)
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder, weights = train(args)
            print(f"best weights: {weights}")
        data = args.data or _data_of(weights)
        metrics = evaluate(weights, data, folder, args)
    except KeyboardInterrupt:
        print("train.py: interrupted; go on with --resume .../weights/last.pt", file=sys.stderr)
        sys.exit(130)
    if metrics is None:
        print("no test split in the data YAML: nothing measured")
        return
    print(f"test split: mAP50 {metrics['map50']:.4f}, mAP50-95 {metrics['map50_95']:.4f}")
    if metrics["false_boxes_per_clean_image"] is not None:
        print(
            f"false boxes per defect-free image at conf {metrics['clean_conf']}: "
            f"{metrics['false_boxes_per_clean_image']:.4f} ({metrics['clean_images']} images)"
        )
    print(f"metrics: {folder / 'metrics.json'}")


if __name__ == "__main__":
    program.run(main, "train.py", TrainError)
