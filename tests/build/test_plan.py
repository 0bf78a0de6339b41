"""Plans: what runs without TensorRT. See test_plan_rtx for the real compiles."""

import io
import json
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import onnx
import pytest
from plan_files import RTX, SMALL, TENSORRT, layer, wrapped, write_graph
from rich.console import Console
from tridet_build.errors import OnnxError, PlanError
from tridet_build.manifest.sizes import Span
from tridet_build.plan import file as plan_file
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import machine
from tridet_build.plan import progress as plan_progress
from tridet_build.plan import runtime as plan_runtime
from tridet_build.plan.compile import build_plan
from tridet_build.plan.settings import PlanSettings

# Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"workspace_mib": 0}, "workspace_mib\n  Input should be greater than 0"),
        (
            {"optimization_level": 6},
            "optimization_level\n  Input should be less than or equal to 5",
        ),
        ({"share": 0.0}, "share\n  Input should be greater than 0"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        PlanSettings(**wrong)


def test_a_span_is_ordered() -> None:
    with pytest.raises(ValueError, match="expected min <= opt <= max, got 1/16/8"):
        Span(1, 16, 8)
    with pytest.raises(ValueError, match="Input should be greater than 0"):
        Span(0, 1, 1)


def test_profile() -> None:
    settings = PlanSettings(batch=Span(1, 4, 8), size=Span(320, 640, 1280))
    assert settings.profile == ((1, 320, 320, 3), (4, 640, 640, 3), (8, 1280, 1280, 3))


# What a file is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "version", "complaint"),
    [
        (TENSORRT, "tensorrt", "10.14.1.48", None),
        (RTX, "tensorrt-rtx", "1.7.1.116", "TensorRT for RTX 1.7.1.116, which Triton"),
        (wrapped(), "ultralytics", "10.14.1.48", r"Ultralytics .engine \(TensorRT 10.14.1.48"),
        (wrapped(b"?" * 30), "ultralytics", None, "an Ultralytics .engine, not a plan"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "text", None, "Git LFS pointer"),
        (b"", "empty", None, "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "?", None, "its first bytes are unknown"),
        (b"ftr", "text", None, "a text file"),
        (b"ftrt", "tensorrt", None, None),
        (b"\xff" * 3, "?", None, "unknown"),
    ],
)
def test_identify(
    tmp_path: Path, content: bytes, kind: str, version: str | None, complaint: str | None
) -> None:
    path = tmp_path / "model.plan"
    path.write_bytes(content)
    found = plan_file.identify(path)
    assert (found.kind, found.version) == (kind, version)
    if complaint is None:
        assert found.problem is None
    else:
        assert found.problem is not None
        assert re.search(complaint, found.problem)
        assert "\n" not in found.problem


def test_identify_onnx(tmp_path: Path) -> None:
    assert plan_file.identify(write_graph(tmp_path / "model.plan")).kind == "onnx"


def test_identify_unreadable(tmp_path: Path) -> None:
    with pytest.raises(plan_file.PlanFileError, match="cannot be read"):
        plan_file.identify(tmp_path / "none")


def test_unwrap(tmp_path: Path) -> None:
    engine, out = tmp_path / "best.engine", tmp_path / "1" / "model.plan"
    engine.write_bytes(wrapped(task="detect"))
    found = plan_file.unwrap(engine, out, tensorrt="10.14.1.48")
    assert out.read_bytes() == TENSORRT
    assert found.metadata is not None
    assert found.metadata["task"] == "detect"


@pytest.mark.parametrize(
    ("content", "here", "complaint"),
    [
        (wrapped(), "10.13.0.35", "holds a plan of TensorRT 10.14.1.48, expected 10.13.0.35"),
        (wrapped(), None, "found no TensorRT here"),
        (wrapped(b""), "10.14.1.48", "expected a plan behind the JSON header, found none"),
        (TENSORRT, "10.14.1.48", "expected an Ultralytics .engine, found tensorrt"),
    ],
)
def test_unwrap_refuses(tmp_path: Path, content: bytes, here: str | None, complaint: str) -> None:
    engine, out = tmp_path / "best.engine", tmp_path / "model.plan"
    engine.write_bytes(content)
    with pytest.raises(plan_file.PlanFileError, match=complaint):
        plan_file.unwrap(engine, out, tensorrt=here)
    assert not out.exists()


def test_same_version_compares_as_far_as_both_go() -> None:
    assert plan_file.same_version("10.14.1", "10.14.1.48")
    assert plan_file.same_version("10.14.1.48+cuda13.0", "10.14.1.48")
    assert not plan_file.same_version("10.14.1.48", "10.14.1.5")


# Layers -------------------------------------------------------------------------------------------


def test_of_engine_reads_old_and_new_words() -> None:
    layers = [
        layer("CaskConvolution", "Row major linear FP32", "Row major linear FP32", "Float"),
        layer("CaskConvolution", "Half", "Half", "Half"),
        layer("gemm", "Channel major FP16 format where channel % 8 == 0", "Half"),
        layer("CaskConvolution", "Int8", "Half", "Int8"),
        layer("Reformat", "UInt8", "Float"),
    ]
    histogram, weighted = plan_layers.of_engine(json.dumps({"Layers": layers}))
    assert histogram == {"fp16": 2, "fp32": 1, "int8": 1}
    assert weighted


def test_of_engine_reads_tensorrt_11() -> None:
    """It says the type in a field of its own, and inputs and outputs as objects."""
    layers = [
        layer("CaskConvolution", "Float", "Float", "Float", key="DataType"),
        layer("CaskConvolution", "Half", "Half", key="DataType"),
        layer("gemm", "Int8", "Half", key="DataType"),
        layer("Reformat", "UInt8", "Float", key="DataType"),
    ]
    tensor = {"Name": "images", "IOMode": "Input", "DataType": "UInt8", "Location": "Device"}
    text = json.dumps({"Layers": layers, "I/O Tensors": [tensor]})
    assert plan_layers.of_engine(text) == ({"fp32": 1, "fp16": 1, "int8": 1}, True)


def test_the_type_counts_before_the_format() -> None:
    """The words of a format may name the type of the layout that it was derived from."""
    one = layer("CaskConvolution", "Half", "Half", key="DataType")
    for tensor in (*one["Inputs"], *one["Outputs"]):
        tensor["Format"] = "Channel major INT8 format where channel % 16 == 0"
    assert plan_layers.of_engine(json.dumps({"Layers": [one]})) == ({"fp16": 1}, True)


def test_of_engine_counts_all_layers_where_fusion_left_no_weighted_one() -> None:
    layers = [layer("kgen", "UInt8", "Float"), layer("kgen", "Half", "Half")]
    assert plan_layers.of_engine(json.dumps({"Layers": layers})) == ({"fp32": 1, "fp16": 1}, False)


def test_of_engine_without_details() -> None:
    assert plan_layers.of_engine(json.dumps({"Layers": ["conv_0", "conv_1"]})) == ({}, False)
    assert plan_layers.of_engine(json.dumps({"I/O Tensors": []})) == ({}, False)
    silent = layer("CaskConvolution", "half", "half", key="Kind")
    silent["Inputs"], silent["Outputs"] = [{"Name": "a"}], [{"Name": "b"}]
    assert plan_layers.of_engine(json.dumps({"Layers": [silent]})) == ({}, True)


@pytest.mark.parametrize(
    ("asked", "histogram", "fits"),
    [
        ("fp32", {"fp32": 90}, True),
        ("fp32", {"fp32": 89, "fp16": 1}, False),
        ("fp16", {"fp16": 80, "fp32": 10}, True),
        ("fp16", {"fp16": 40, "fp32": 50}, False),
        ("fp16", {"fp16": 80, "int8": 10}, False),
        ("int8", {"int8": 50, "fp16": 40}, True),
        ("int8", {"fp16": 90}, False),
        ("fp32", {}, False),
        ("int8", {}, False),
    ],
)
def test_mismatch(asked: Any, histogram: dict[str, int], fits: bool) -> None:
    assert (plan_layers.mismatch(asked, histogram, 0.5) is None) == fits


def test_mismatch_says_the_numbers() -> None:
    assert plan_layers.mismatch("fp16", {"fp32": 88, "fp16": 2}, 0.5) == (
        "asked for fp16, but of 90 convolutions and matrix products 2 are fp16 (fp32 88, fp16 2), "
        "expected at least 45"
    )


def test_achieved() -> None:
    assert plan_layers.achieved({"int8": 50, "fp16": 40}) == "int8"
    assert plan_layers.achieved({}) == "unknown"


# Progress, errors, Ctrl-C -------------------------------------------------------------------------


def phases(report: plan_progress.Report) -> None:
    with report:
        report.start("Building engine", None, 2)
        report.start("Optimizing", "Building engine", 3)
        report.start("Timing", "Optimizing", 3)
        report.start("Too deep", "Timing", 3)
        report.step("Optimizing", 0)
        for name in ("Too deep", "Timing", "Optimizing", "Building engine"):
            report.finish(name)


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    phases(plan_progress.Report("pcb", Console(file=out, width=80)))
    assert out.getvalue() == "pcb: Building engine\npcb: Optimizing\n"


def test_progress_is_bars_on_a_terminal() -> None:
    out = io.StringIO()
    phases(plan_progress.Report("pcb", Console(file=out, width=80, force_terminal=True)))
    assert "pcb: Building engine" in out.getvalue()


def test_progress_may_be_silent(capfd: pytest.CaptureFixture[str]) -> None:
    phases(plan_progress.Report("pcb", None))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([], "TensorRT gives no reason; --verbose shows its log"),
        (
            ["[defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)"],
            "Cuda Runtime (out of memory) (the GPU's memory is full: free it, or lower batch max "
            "or the workspace limit)",
        ),
        (
            ["Error Code 10: Internal Error (Could not find any implementation for node conv.)"],
            "Internal Error (Could not find any implementation for node conv.) (often too small a "
            "workspace: raise or drop the limit)",
        ),
        (
            ["Error Code 1: Cuda Runtime (In getCC at /_src/a.cpp:130\n(cudaError 35))", "more"],
            "Cuda Runtime (cudaError 35)",
        ),
        (
            [
                "Error Code 2: Internal Error (Assertion max((a + 1), (b + 1)) failed. "
                "In check at /_src/graph.cpp:1)"
            ],
            "Internal Error (Assertion max((a + 1), (b + 1)) failed.)",
        ),
        (
            [
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine cannot "
                "run on this GPU, which has compute capability 9.0. In check at /_src/r.cpp:84)"
            ],
            "API Usage Error (The engine cannot run on this GPU, which has compute capability "
            "9.0.)",
        ),
    ],
)
def test_explained(errors: list[str], said: str) -> None:
    assert plan_progress.explained(errors) == said


def test_ctrl_c_is_a_flag_first_and_an_exception_after() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt), plan_progress.interruptible() as interrupted:
        seen.append(interrupted())
        os.kill(os.getpid(), signal.SIGINT)
        seen.append(interrupted())
        seen.append(interrupted())
    assert seen == [False, True, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_left_alone_in_other_threads() -> None:
    seen: list[bool] = []

    def run() -> None:
        with plan_progress.interruptible() as interrupted:
            seen.append(interrupted())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


# What stops before TensorRT -----------------------------------------------------------------------


@pytest.fixture
def no_polygraphy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polygraphy", None)


@pytest.mark.usefixtures("no_polygraphy")
def test_without_tensorrt_the_package_to_install_is_named(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    with pytest.raises(PlanError, match=r"pip install 'tridet\[build\]'"):
        build_plan(graph, tmp_path / "model.plan", SMALL)
    assert not (tmp_path / "model.plan").exists()


@pytest.mark.parametrize(
    ("flavour", "version", "newest"),
    [
        ("tensorrt", "10.0.1", 20),
        ("tensorrt", "10.14.1.48", 22),
        ("tensorrt", "10.15.0", 24),
        ("tensorrt", "11.4.0.7", 24),
        ("tensorrt", "11.5.0", 25),
        ("tensorrt", "12.0.1", 25),
        ("tensorrt-rtx", "1.7.1.116", 25),
    ],
)
def test_newest_opset(flavour: Any, version: str, newest: int) -> None:
    assert plan_runtime.newest_opset(flavour, version) == newest


def test_an_older_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polygraphy", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    sys.modules["polygraphy"].config = type("config", (), {"USE_TENSORRT_RTX": False})  # type: ignore[attr-defined]
    sys.modules["tensorrt"].__version__ = "8.6.1"  # type: ignore[attr-defined]
    with pytest.raises(PlanError, match=r"expected TensorRT 10 or newer, found 8\.6\.1"):
        plan_runtime.tensorrt()


def test_rtx_after_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "0")
    module = type(sys)("polygraphy.config")
    module.USE_TENSORRT_RTX = False  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "polygraphy.config", module)
    monkeypatch.delitem(sys.modules, "polygraphy.backend.trt", raising=False)
    plan_runtime.use_rtx()
    assert module.USE_TENSORRT_RTX
    module.USE_TENSORRT_RTX = False
    monkeypatch.setitem(sys.modules, "polygraphy.backend.trt", type(sys)("polygraphy.backend.trt"))
    with pytest.raises(PlanError, match="start a new process"):
        plan_runtime.use_rtx()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        (b"hello world", "not a readable ONNX model"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnnxError, match=complaint):
        build_plan(path, None, SMALL)


def test_an_opset_of_the_future_is_refused(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    model = onnx.load(graph)
    model.opset_import[0].version = 99
    onnx.save(model, graph)
    with pytest.raises(PlanError, match=r"expected opset \d+ or older \(of onnx .*\), got 99"):
        build_plan(graph, None, SMALL)


@pytest.mark.parametrize(
    "settings",
    [
        PlanSettings(batch=Span(1, 2, 4), size=Span.only(32)),
        PlanSettings(batch=Span(1, 2, 4), size=Span(32, 64, 96)),
    ],
)
def test_a_profile_that_the_graph_has_not(tmp_path: Path, settings: PlanSettings) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    with pytest.raises(PlanError, match=r"expected a serving graph .* got images UINT8 \[batch, 6"):
        build_plan(graph, None, settings)


# The machine --------------------------------------------------------------------------------------


def test_tensorrt_version_from_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("TRT_VERSION", "10.14.1.48+cuda13.0.2.006")
    assert machine.tensorrt_version(libraries=["libnone.so"]) == "10.14.1.48"
    monkeypatch.delenv("TRT_VERSION")
    assert machine.tensorrt_version(libraries=["libnone.so"]) is None


def test_gpus_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9'\necho 'NVIDIA H100 80GB HBM3, 9.0'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "_driver_gpus", list)
    assert machine.gpus() == [
        machine.Gpu("NVIDIA L4", "8.9"),
        machine.Gpu("NVIDIA H100 80GB HBM3", "9.0"),
    ]
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert machine.gpus() == []


def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._driver_gpus("libnone.so") == []
    assert machine._smi_gpus() == []
