"""Every command and option that needs an extra says so in one line, before it does anything."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from clean_environments import ROOT, attempt, run

pytestmark = pytest.mark.packaging

NOBODY = ("--url", "localhost:1")  # nothing answers there: a detection would end otherwise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that the command lines below name, outside the checkout."""
    shutil.copytree(ROOT / "models/pcb", tmp_path / "models/pcb")
    shutil.copytree(tmp_path / "models/pcb/samples", tmp_path / "images")
    for image in (tmp_path / "images").iterdir():
        for copy in range(6):
            shutil.copy(image, image.with_name(f"{copy}-{image.name}"))
    (tmp_path / "labelled").mkdir()
    shutil.copy(next((tmp_path / "images").iterdir()), tmp_path / "labelled/board.jpg")
    (tmp_path / "labelled/board.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    mine = tmp_path / "models/mine"
    mine.mkdir()
    (mine / "best.pt").write_bytes(b"weights")
    (mine / "detector.toml").write_text('name = "mine"\nweights = "best.pt"\n')
    (tmp_path / "line.mp4").write_bytes(b"a video")
    (tmp_path / "cameras.toml").write_text('[[source]]\nlocation = "line.mp4"\n')
    (tmp_path / "cameras.yaml").write_text("source:\n  - location: line.mp4\n")
    return tmp_path


def refused(program: Path, arguments: Sequence[str], install: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    done = attempt(program, *arguments, cwd=folder)
    assert done.returncode not in (0, 2), done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    (line,) = (line for line in lines if line.startswith(f"{program.name}: error: "))
    notes = [other for other in lines if other != line]  # of what is being done, or comes of it
    assert f"pip install {install}" in line
    assert "Traceback" not in done.stderr and len(notes) <= 2
    assert sorted(folder.rglob("*")) == before


STREAM = "'tridet[stream]'"


@pytest.mark.parametrize(
    ("arguments", "install"),
    [
        ("detect images --save out", "'tridet[draw]'"),
        ("detect images --tiles 2x2 --save out --json out.json", "'tridet[draw]'"),
        ("bench", "'tridet[bench]'"),
        ("bench --out out", "'tridet[bench]'"),
        ("bench --until-saturation --out out", "'tridet[bench]'"),
        ("stream line.mp4", STREAM),
        ("stream line.mp4 --save out.mp4", STREAM),
        ("stream line.mp4 --jsonl -", STREAM),
        ("stream line.mp4 --show", STREAM),
        ("stream line.mp4 --web :0", STREAM),
        ("stream line.mp4 --publish rtsp://localhost:1/x", STREAM),
        ("stream line.mp4 --stats stats.jsonl", STREAM),
        ("stream line.mp4 --zone gate=0.1,0.1,0.9,0.1,0.5,0.9", STREAM),
        ("stream line.mp4 --track", STREAM),
        ("stream line.mp4 --line door=0.1,0.1,0.9,0.9", STREAM),
        ("stream line.mp4 --alert short --exec cat", STREAM),
        ("stream --config cameras.toml", STREAM),
        ("stream --config cameras.yaml", STREAM),
    ],
)
def test_commands_of_the_client(base: Path, folder: Path, arguments: str, install: str) -> None:
    refused(base / "tridet", [*arguments.split(), *NOBODY], install, folder)


@pytest.mark.parametrize("option", ["--track", "--line door=0.1,0.1,0.9,0.9"])
def test_tracking_is_an_extra_of_its_own(stream: Path, folder: Path, option: str) -> None:
    arguments = ["stream", "line.mp4", *option.split(), *NOBODY]
    refused(stream / "tridet", arguments, "'tridet[track]'", folder)


@pytest.mark.parametrize(
    ("call", "install"),
    [
        ("found.annotate(image)", "'tridet[draw]'"),
        ("found.to_supervision()", "'tridet[draw]'"),
        ("tridet.stream('line.mp4')", STREAM),
    ],
)
def test_calls_from_python(base: Path, folder: Path, call: str, install: str) -> None:
    code = f"""
import numpy as np, tridet
image = np.zeros((4, 4, 3), np.uint8)
found = tridet.Detections(
    np.zeros((0, 4)), np.zeros(0), np.zeros(0), labels=(), image_size=(4, 4), source=None
)
try:
    {call}
except tridet.MissingExtra as error:
    print(error)
"""
    assert f"pip install {install}" in run(base / "python", "-c", code, cwd=folder)


FULL = "'tridet-build[full]'"


@pytest.mark.parametrize(
    ("arguments", "install"),
    [
        ("export models/mine/best.pt --out best.onnx", FULL),
        ("repository models/mine --out served", FULL),
        ("fp16 models/pcb --out pcb.fp16.onnx", FULL),
        ("int8 models/pcb --out pcb.int8.onnx --calibration images --samples 32", FULL),
        (
            "gate models/pcb models/pcb/pcb.onnx --precision fp16"
            " --images labelled --labels labelled",
            FULL,
        ),
        ("plans models/pcb", FULL),
        ("plans models/pcb --check", "'tridet-build[rtx]'"),
        ("inspect models/mine/best.pt", "'tridet-build[rtx]'"),
    ],
)
def test_commands_of_the_build_tools(
    build: Path, folder: Path, arguments: str, install: str
) -> None:
    refused(build / "tridet-build", arguments.split(), install, folder)
