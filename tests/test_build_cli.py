"""The stages as commands: what a user types, sees, and gets as exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from stub_onnx import write_detector
from tridet_build._cli import cli
from tridet_build.manifest import load_manifests
from tridet_build.plan.runtime import use_rtx
from tridet_build.repository import write

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
        "import sys; from tridet_build._cli import cli; cli(['--help'], standalone_mode=False); "
        "print(sorted({'onnx', 'torch', 'onnxruntime', 'polygraphy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    single = ("export", "fp16", "int8", "gate", "sensitivity")
    for stage in (*single, "plans", "inspect", "repository", "check"):
        assert f"  {stage}" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_of_a_rendered_repository(tmp_path: Path) -> None:
    write_detector(tmp_path / "one")
    write(load_manifests([tmp_path / "one"]), tmp_path / "out")
    for runtime, code in (("python", 0), ("onnxruntime", 0), ("tensorrt", 1)):
        result = CliRunner().invoke(cli, ["check", str(tmp_path / "out"), "--runtime", runtime])
        assert result.exit_code == code, result.output
    assert "model.plan" in result.output


def test_one_failing_detector_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "1")
    use_rtx()
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
        (["plans", "--models", "nowhere"], "expected folders with a detector.toml, found none"),
        (["fp16", "nowhere", "--out", "x.onnx"], "nowhere: no such manifest"),
        (["inspect", "none.plan"], "plan"),
        (
            ["sensitivity", "models/pcb", "models/pcb/pcb.onnx", "--images", "models/pcb/samples"],
            "models/pcb/pcb.onnx: expected Q/DQ pairs, found none",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], complaint: str) -> None:
    done = tridet_build(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("tridet-build: error: ")
    assert complaint in line
