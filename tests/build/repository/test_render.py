import errno
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from edits import replace_in
from stub_onnx import write_detector
from tridet_build.cli.main import cli
from tridet_build.errors import BuildError, RepositoryError
from tridet_build.manifest.manifest import load_manifest, load_manifests
from tridet_build.repository.render import render, write

ROOT = Path(__file__).parents[3]


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_rendering_reproduces_what_is_committed() -> None:
    committed = files(ROOT / "model_repository")
    made = [path for path in committed if path.endswith((".onnx", ".plan", "build.json"))]
    texts = {
        path: content for path, content in committed.items() if path not in [*made, "README.md"]
    }
    assert texts == render([load_manifest(ROOT / "models" / "pcb")])


def test_write_is_complete_and_the_second_time_idle(tmp_path: Path) -> None:
    write_detector(tmp_path / "models" / "one")
    manifests = load_manifests([tmp_path / "models" / "one"])
    out = tmp_path / "out"
    assert {str(path.relative_to(out)) for path in write(manifests, out)} == files(out).keys()
    assert render(manifests).items() <= files(out).items()
    onnx.checker.check_model(onnx.load(out / "one_detector" / "1" / "model.onnx"))
    assert write(manifests, out) == []


def test_other_detectors_are_left_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_detector(tmp_path / name)
        write(load_manifests([tmp_path / name]), tmp_path / "out")
    assert {"one", "one_encoded", "one_detector", "two", "two_encoded", "two_detector"} < {
        path.name for path in (tmp_path / "out").iterdir()
    }


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["nms"], "'nms': its folder 'nms' is that of 'a shared step'"),
        (["preprocess_64"], "its folder 'preprocess_64' is that of 'a shared step'"),
        (["a", "a_encoded"], "'a_encoded': its folder 'a_encoded' is that of 'a'"),
        (["a_detector", "a"], "'a': its folder 'a_detector' is that of 'a_detector'"),
    ],
)
def test_overlapping_folders_are_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    for name in names:
        write_detector(tmp_path / name)
    with pytest.raises(RepositoryError, match=complaint):
        write(load_manifests(tmp_path / name for name in names), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bad_detector_writes_nothing(tmp_path: Path) -> None:
    write_detector(tmp_path / "good")
    write_detector(tmp_path / "bad", batch=1)
    with pytest.raises(BuildError, match="dynamic batch"):
        write(load_manifests([tmp_path / "good", tmp_path / "bad"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_full_disk_keeps_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_detector(tmp_path / "one")
    out = tmp_path / "out"
    write(load_manifests([tmp_path / "one"]), out)
    before = files(out)
    replace_in(tmp_path / "one" / "detector.toml", "'c0'", "'renamed'")

    def full(path: Path, _content: bytes) -> int:
        with path.open("wb") as file:
            file.write(b"the first half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RepositoryError, match="No space left on device"):
        write(load_manifests([tmp_path / "one"]), out)
    assert files(out) == before


def test_cli(tmp_path: Path) -> None:
    write_detector(tmp_path / "models" / "one")
    runner = CliRunner()
    arguments = ["repository", "--models", str(tmp_path / "models"), "--out", str(tmp_path / "out")]
    result = runner.invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "one ready to serve" in result.stderr
    assert (tmp_path / "out" / "one_detector" / "1" / "model.onnx").is_file()


def test_cli_error_is_one_line(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tridet_build", "repository", "--models", str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"tridet-build: error: {tmp_path}: expected folders with a detector.toml, found none\n"
    )
