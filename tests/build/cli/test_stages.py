"""The stages as commands: what a user types, sees, and gets as exit code."""

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper
from stub_onnx import write_detector, write_stub
from tridet_build.cli.main import cli
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write

EXPORT_AT = ["export", "none.pt", "--out", "x.onnx", "--imgsz"]


def tridet_build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tridet_build", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_stage_without_heavy_imports() -> None:
    code = (
        "import sys; from tridet_build.cli.main import cli; "
        "cli(['--help'], standalone_mode=False); "
        "print(sorted({'onnx', 'torch', 'onnxruntime', 'polygraphy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    single = ("export", "fp16", "int8", "gate", "sensitivity")
    for stage in (*single, "plans", "inspect", "repository", "check"):
        assert f"  {stage}" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert f"    tridet-build {command}" in result.output.partition("Example")[2]


def test_check_of_a_rendered_repository(tmp_path: Path) -> None:
    write_detector(tmp_path / "one")
    write(load_manifests([tmp_path / "one"]), tmp_path / "out")
    for runtime, code in (("python", 0), ("onnxruntime", 0), ("tensorrt", 1)):
        result = CliRunner().invoke(cli, ["check", str(tmp_path / "out"), "--runtime", runtime])
        assert result.exit_code == code, result.output
    assert "model.plan" in result.output


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_one_failing_detector_does_not_stop_the_others(tmp_path: Path) -> None:
    write_detector(tmp_path / "bad", batch=1)
    write_detector(tmp_path / "good")
    result = CliRunner().invoke(
        cli,
        [
            *("plans", "--models", str(tmp_path), "--out", str(tmp_path / "out")),
            *("--work", str(tmp_path / "work")),
        ],
    )
    assert result.exit_code == 1
    assert "bad" in result.output
    assert "good" in result.output
    assert "dynamic" in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["export", "none.pt", "--out", "x.onnx"], "none.pt: no such file"),
        ([*EXPORT_AT, "640,320,960"], "or three of them as min,opt,max, got '640,320,960'"),
        ([*EXPORT_AT, "100"], "--imgsz: expected a multiple of 32 from 32 to 4096, or three of"),
        ([*EXPORT_AT, "320,640,1280"], "none.pt: no such file"),
        (["check", "nowhere"], "nowhere: no such repository"),
        (["plans", "models/nope"], "models/nope: no such detector; models has pcb"),
        (["plans", "--models", "nowhere"], "expected folders with a detector.toml, found none"),
        (["fp16", "nowhere", "--out", "x.onnx"], "nowhere: no such manifest"),
        (["inspect", "none.plan"], "plan"),
        (
            ["sensitivity", "models/pcb", "models/pcb/pcb.onnx", "--images", "models/pcb/samples"],
            "models/pcb/pcb.onnx: expected Q/DQ pairs, found none",
        ),
        (
            ["sensitivity", "models/pcb", "none.onnx", "--images", "models/pcb/samples"],
            "none.onnx: no such file",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], complaint: str) -> None:
    done = tridet_build(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tridet-build: error: ")
    assert complaint in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["plan"], "No such command 'plan'."),
        (["plans", "--gpu"], "No such option"),
        (["fp16", "models/pcb"], "Missing option '--out'. (see tridet-build fp16 --help)"),
        (["gate", "models/pcb", "x.onnx", "--images", "x"], "Choose from: fp16, int8"),
        (["inspect"], "Missing argument 'PLAN'. (see tridet-build inspect --help)"),
        (["inspect", "x.plan", "--batch", "0"], "Invalid value for '--batch'"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str], complaint: str) -> None:
    done = tridet_build(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("tridet-build: error: ")
    assert complaint in line


def test_help_is_what_no_command_gives() -> None:
    done = tridet_build()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: tridet-build [OPTIONS] [COMMAND]")


def test_the_gate_names_what_it_leaves_out(tmp_path: Path) -> None:
    """Even where the name looks like markup of the terminal's."""
    shutil.copy("models/pcb/samples/board-black-640x480.jpg", tmp_path)
    shutil.copy("models/pcb/samples/annotations.json", tmp_path)
    broken = tmp_path / "[" / "red].jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"half")
    arguments = ("gate", "models/pcb", "models/pcb/pcb.onnx", "--precision", "fp16")
    done = tridet_build(*arguments, "--images", str(tmp_path))
    assert done.returncode == 0, done.stderr
    note = done.stderr.splitlines()[0]
    assert note.startswith(f"note: gate: 1 images cannot be read, left out: {broken}: ")
    (tmp_path / "board-black-640x480.jpg").unlink()
    done = tridet_build(*arguments, "--images", str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "gate: expected 1 usable images or more, got 0; the first of 1 unreadable ones" in line


def test_the_gate_holds_to_the_manifests_limits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 60, 3), 120, np.uint8))
    write_stub(tmp_path / "other.onnx")
    model = onnx.load(tmp_path / "other.onnx")
    (table,) = (weight for weight in model.graph.initializer if weight.name == "scaled")
    values = numpy_helper.to_array(table).copy()
    values[0, :, :8] = 0  # what a few anchors see is lost
    table.CopyFrom(numpy_helper.from_array(values, table.name))
    onnx.save(model, tmp_path / "other.onnx")
    for name, gate, code in (("strict", "", 1), ("loose", "[gate]\nmax_changed = 1.0\n", 0)):
        write_detector(tmp_path / name, gate)
        arguments = ("gate", str(tmp_path / name), str(tmp_path / "other.onnx"))
        done = tridet_build(*arguments, "--precision", "fp16", "--images", str(tmp_path))
        assert done.returncode == code, done.stderr
