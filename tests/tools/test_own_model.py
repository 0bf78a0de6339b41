"""docs/own-model.md from end to end: own data, training, the build, the server, the figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation import read_results
from pcb_boards import plan_splits, write_dataset

pytest.importorskip("ultralytics", reason="training comes with the extra `full`")
pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
TOOLS, TESTS = ROOT / "tools", ROOT / "tests"
SIZE = "320"


def run(folder: Path, *command: str | Path) -> None:
    """Run a Python program in ``folder``; fail with what it said if it fails."""
    path = os.pathsep.join(map(str, (ROOT / "build", ROOT / "client", TOOLS)))
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "YOLO_CONFIG_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_from_data_to_figures(tmp_path: Path) -> None:
    plans = plan_splits(11, {"train": 8, "val": 4, "test": 6}, 0.2)
    write_dataset(tmp_path / "data", plans, workers=1, overwrite=False, progress=lambda *_: None)
    data = tmp_path / "data" / "data.yaml"

    run(tmp_path, TOOLS / "check_dataset.py", data, "--imgsz", SIZE, "--out", "check")
    assert json.loads((tmp_path / "check" / "report.json").read_text())["errors"] == 0

    # From the default detector's weights, because one epoch from scratch finds nothing.
    options = ("--epochs", "1", "--batch", "4", "--imgsz", SIZE, "--device", "cpu")
    weights = ROOT / "models" / "pcb" / "pcb.pt"
    train = (
        TESTS / "support" / "train_anywhere.py",
        "--data",
        data,
        "--model",
        weights,
        "--workers",
        "0",
    )
    run(tmp_path, *train, *options)
    mine = tmp_path / "models" / "mine"
    mine.mkdir(parents=True)
    (tmp_path / "runs" / "train" / "weights" / "best.pt").rename(mine / "best.pt")
    (mine / "detector.toml").write_text(
        f'name = "mine"\nweights = "best.pt"\ninput_size = {SIZE}\n'
    )

    build = ("--models", "models", "--work", "work", "--out", "repository")
    check = ("-m", "tridet_build", "plans", "--check", "--precision", "fp32")
    run(tmp_path, *check, *build)
    run(tmp_path, "-m", "tridet_build", "repository", *build)

    run(tmp_path, TOOLS / "evaluate.py", data, "--model", "mine", "--repository", "repository")
    results = read_results(tmp_path / "out" / "eval" / "mine")
    assert (results.images, results.split) == (6, "test")
    assert results.map50 is not None
    assert results.map50 > 0.05  # one epoch on eight boards: more than noise, no more than that
