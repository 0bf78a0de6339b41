"""tools/figures/compare_runtimes.py: its table and its messages; never its timings."""

from __future__ import annotations

import sys
from pathlib import Path

import compare_runtimes
import numpy as np
import pytest
from click.testing import CliRunner, Result
from compare_runtimes import CompareError, Row, farthest, main, onnx_runtimes, take_turns
from programs import run_program
from rich.console import Console
from stub_onnx import write_stub

QUICK = ("--size", 64, "--rounds", 1, "--calls", 2)


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    write_stub(tmp_path / "stub.onnx")
    return tmp_path / "stub.onnx"


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed beside the tests' own needs must not change them."""
    monkeypatch.setitem(sys.modules, "ultralytics", None)


def run(stub: Path, *more: object) -> Result:
    files = ("--onnx", stub, "--weights", stub)
    return CliRunner().invoke(main, [str(item) for item in (*files, *QUICK, *more)])


def test_what_is_there_is_measured_and_the_rest_is_said(stub):
    done = run(stub, "--batch", "1,3")
    assert done.exit_code == 0, done.output
    assert "left out: ultralytics is not installed; pip install 'tridet-build[full]'" in done.output
    assert "left out: TensorRT" in done.output
    lines = [line.split() for line in done.output.splitlines() if "ONNX Runtime CPU" in line]
    assert [(line[3], line[-2:]) for line in lines[1:]] == [
        ("1", ["1.00", "x"]),
        ("3", ["1.00", "x"]),
    ]
    assert "onnxruntime 1." in done.output and "tritonserver" not in done.output


def test_turns_and_ratios():
    calls: list[str] = []

    def runtime(name: str):
        return lambda images: (calls.append(name), images)[1]

    rows = take_turns({"a": runtime("a"), "b": runtime("b")}, [2], 32, rounds=2, calls=2)
    assert calls == ["a", "b", *"aabbaabb"]
    assert [(row.runtime, row.batch) for row in rows] == [("a", 2), ("b", 2)]
    made = [Row("a", 1, 10, 11, 100), Row("b", 1, 4, 5, 250), Row("a", 8, 50, 60, 160)]
    console = Console(width=120, record=True)
    console.print(compare_runtimes.table_of(made).rich())
    text = console.export_text()
    assert "2.50 x" in text and text.count("1.00 x") == 2


def test_runtimes_that_answer_differently(stub):
    (infer,) = onnx_runtimes(stub).values()
    assert farthest({"a": infer, "b": infer}, 64) == 0
    moved = farthest({"a": infer, "b": lambda images: infer(images) + 0.5}, 64)
    assert moved == pytest.approx(0.5, abs=1e-4)
    with pytest.raises(CompareError, match="the runtimes answer with"):
        farthest({"a": infer, "b": lambda _: np.zeros((1, 2))}, 64)


def test_bad_files_are_one_line(stub, tmp_path):
    (tmp_path / "no.onnx").write_text("nonsense")
    program = "figures/compare_runtimes.py"
    code, _, stderr = run_program(
        program, *QUICK, "--weights", stub, "--onnx", tmp_path / "no.onnx"
    )
    assert code == 1
    assert stderr.startswith("compare_runtimes: error: ") and "no.onnx" in stderr
    assert len(stderr.splitlines()) == 1
    assert run(stub, "--batch", "0").exit_code == 2
    assert run(stub, "--onnx", tmp_path / "nowhere.onnx").exit_code == 2
