"""``tridet-build plans``: every detector it can build, each graph once."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from stub_onnx import write_detector, write_stub
from tridet_build.cli.main import cli
from tridet_build.manifest.manifest import load_manifest
from tridet_build.onnx import serving_graph as graph
from tridet_build.onnx.serving_graph import serving_graph

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "models" / "pcb" / "samples"


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_plans_builds_what_it_can_and_says_what_failed(tmp_path: Path) -> None:
    models, out = tmp_path / "models", tmp_path / "out"
    write_detector(models / "bad", batch=1)
    write_detector(models / "good")
    shutil.copytree(models / "good", models / "twin")  # of the same name
    result = invoke("plans", "--models", models, "--out", out, "--work", tmp_path / "work")
    assert result.exit_code == 1, result.output
    assert "expected a dynamic batch axis" in result.stderr
    assert (
        f"twin/detector.toml: name: that of {models / 'good' / 'detector.toml'} already"
        in result.stderr
    )
    assert (out / "good_detector" / "1" / "model.plan").is_file()
    assert (out / "good" / "config.pbtxt").is_file()
    assert (out / "nms" / "config.pbtxt").is_file()
    assert not (out / "bad_detector").exists()
    # What was served before stays when a later build fails.
    before = (out / "good_detector" / "1" / "model.plan").read_bytes()
    write_stub(models / "good" / "weights.onnx", batch=1)
    again = invoke("plans", models / "good", "--out", out, "--work", tmp_path / "work")
    assert again.exit_code == 1
    assert (out / "good_detector" / "1" / "model.plan").read_bytes() == before


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize("command", ["plans", "repository"])
def test_the_serving_graph_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write_detector(tmp_path / "models" / "one")
    wrapped = []

    def wrap(weights: Path, **settings: Any) -> onnx.ModelProto:
        wrapped.append(weights.name)
        return serving_graph(weights, **settings)

    monkeypatch.setattr(graph, "serving_graph", wrap)
    for _ in range(2):  # the second time there is a record to read
        result = invoke(
            *(command, "--models", tmp_path / "models", "--out", tmp_path / "out"),
            *("--work", tmp_path / "work"),
        )
        assert result.exit_code == 0, result.output
    assert wrapped == ["weights.onnx"] * 2
    served = tmp_path / "out" / "one_detector" / "1" / "model.onnx"
    assert served.read_bytes() == graph.graph_of(load_manifest(tmp_path / "models" / "one"))


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_one_of_several_keeps_the_shared_steps_for_all(tmp_path: Path) -> None:
    models, out = tmp_path / "models", tmp_path / "out"
    write_detector(models / "busy", "[instances]\nnms = 3\n")
    write_detector(models / "quiet")
    invoke("repository", "--models", models, "--out", out, "--work", tmp_path / "work")
    shared = (out / "nms" / "config.pbtxt").read_bytes()
    assert b"count: 3" in shared
    result = invoke(
        "plans", models / "quiet", "--models", models, "--out", out, "--work", tmp_path / "work"
    )
    assert result.exit_code == 0, result.output
    assert (out / "nms" / "config.pbtxt").read_bytes() == shared


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
def test_check_compiles_every_precision_and_keeps_nothing(
    tmp_path: Path, images: Path, converters: list[str]
) -> None:
    write_detector(tmp_path / "models" / "one")
    result = invoke(
        *("plans", "--check", "--models", tmp_path / "models", "--out", tmp_path / "out"),
        *("--work", tmp_path / "work", "--calibration", images, "--gate", images),
    )
    assert result.exit_code == 1  # INT8, as the stand-in makes it, does not pass its gate
    assert converters == ["fp16", "int8"]
    assert result.output.count("compiled") == 2
    assert "INT8: 120 missed" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.full
def test_no_tensorrt_is_said_before_anything_is_made(tmp_path: Path) -> None:
    write_detector(tmp_path / "one")
    program = (
        "import sys; sys.modules['tensorrt'] = None; from tridet_build.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "plans", tmp_path / "one", "--work", tmp_path / "work"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "a plan needs Polygraphy and TensorRT, found no tensorrt" in line
    assert not (tmp_path / "work").exists()


@pytest.mark.full
@pytest.mark.usefixtures("rtx")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gate", "nowhere"], "--gate: expected a folder of images, found none at nowhere"),
        (["--calibration", "nowhere"], "--calibration: expected a folder of images"),
        (["--precision", "int8"], "INT8 is held against FP32 before it is served"),
    ],
)
def test_overrides_that_cannot_be_met(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    write_detector(tmp_path / "one")
    result = invoke("plans", tmp_path / "one", "--work", tmp_path / "work", *arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr
