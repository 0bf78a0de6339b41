"""What is shown of the server's log."""

from __future__ import annotations

from local_triton.log import TritonLog, reason_from_triton
from triton_log import STAMP, feed

NOISE = (
    f'W{STAMP} pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned '
    'memory pool will not be available: CUDA driver version is insufficient"',
    f'I{STAMP} cuda_memory_manager.cc:117] "CUDA memory pool disabled"',
    f'E{STAMP} server.cc:241] "CudaDriverHelper has not been initialized."',
    f'W{STAMP} pinned_memory_manager.cc:170] "failed to allocate pinned system memory: no pinned '
    'memory pool, falling back to non-pinned system memory"',
    f'E{STAMP} ensemble_scheduler.cc:1468] "unable to create stream for pcb: CUDA driver version '
    'is insufficient for CUDA runtime version"',
    "Error: Failed to initialize NVML",
    f'W{STAMP} metrics.cc:798] "DCGM unable to start: DCGM initialization error"',
)


def test_noise_of_a_machine_without_gpu_is_one_line() -> None:
    assert feed(*NOISE)[1] == ["no GPU found: CPU only"]
    assert "GPU cannot be used" in feed(*NOISE, has_gpu=True)[1][0]
    log = TritonLog(has_gpu=False, verbose=True)
    assert [shown for line in NOISE for shown in log.feed(line)] == list(NOISE)


def test_log_keeps_models_warnings_errors_and_what_models_print() -> None:
    log, shown = feed(
        f'I{STAMP} model_lifecycle.cc:472] "loading: nms:1"',
        f'I{STAMP} python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: nms_0_0"',
        "printed by a model",
        f'W{STAMP} model.py:8] "a model warns"',
        f"I{STAMP} server.cc:604] ",
        "+----+",
        "| x  |",
        "",
        f"I{STAMP} model_lifecycle.cc:839] \"successfully loaded 'nms'\"",
        f'E{STAMP} x.cc:1] "first\\nsecond"',
    )
    assert shown == [
        "loading nms",
        "printed by a model",
        "warning: a model warns",
        "ready   nms",
        "error: first",
        "second",
    ]
    assert (log.loading, log.loaded) == (["nms"], ["nms"])


def test_reason_is_one_line_with_the_place_of_the_error() -> None:
    reason = "Internal: ValueError: a\n b\n\nAt:\n  /r/m/1/model.py(3): initialize\n  x(9): f\n"
    assert reason_from_triton(reason) == "Internal: ValueError: a b at /r/m/1/model.py(3)"
