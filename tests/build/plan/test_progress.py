"""Progress, errors and Ctrl-C while TensorRT builds."""

import io
import os
import signal
import threading

import pytest
from rich.console import Console
from tridet_build.plan import progress as plan_progress


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
