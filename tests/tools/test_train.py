"""tools/train.py refuses bad requests in one line, before anything heavy is imported."""

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import train

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.yaml"
    path.write_text("train: images/train\nval: images/val\nnames: {0: a}\n")
    return path


def check(*arguments: str) -> None:
    context = train.main.make_context("train.py", list(arguments))
    train.check_arguments(train.Settings(**context.params))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--data is needed"),
        (("--data", "nowhere.yaml"), "--data: no such file: nowhere.yaml"),
        (("--epochs", "0"), "--epochs must be 1 or more, got 0"),
        (("--batch", "0"), "--batch must be 1 or more"),
        (("--seed", "-1"), "--seed must be 0 or more"),
        (("--imgsz", "650"), "--imgsz must be a multiple of 32, got 650"),
        (("--resume", "last.pt"), "--resume: no such file: last.pt"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(train.TrainError) as error:
        check(*arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "yolo11n.onnx"), "--model must end in .yaml or .pt"),
        (("--model", "runs/gone.pt"), "--model: no such file: runs/gone.pt"),
        (("--eval-only",), "--eval-only needs trained weights"),
    ],
)
def test_bad_models(data: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(train.TrainError, match=message):
        check("--data", str(data), *arguments)


def test_missing_ultralytics_names_the_fix(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(train.TrainError) as error:
        check("--data", str(data))
    assert "pip install 'tridet-build[full]'" in str(error.value)


def test_good_arguments_pass(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("ultralytics")
    there.__spec__ = ModuleSpec("ultralytics", None)
    monkeypatch.setitem(sys.modules, "ultralytics", there)
    check("--data", str(data), "--epochs", "3", "--imgsz", "320")


def test_errors_are_one_line_and_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['train.py', '--data', 'nowhere.yaml']\n"
        f"sys.path.insert(0, {str(TOOLS)!r})\n"
        "import program, train\n"
        "status = None\n"
        "try:\n"
        "    program.run(train.main, 'train.py', train.TrainError)\n"
        "except SystemExit as end:\n"
        "    status = end.code\n"
        "assert not {'torch', 'ultralytics'} & set(sys.modules), 'heavy import'\n"
        "sys.exit(status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert result.stderr == "train.py: error: --data: no such file: nowhere.yaml\n"
