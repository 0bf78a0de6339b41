"""What the GPU benchmark measured, for tests of what is made of it."""

from __future__ import annotations

from typing import Any

from tridet_bench.loops import Load, Open

CEILING = {
    "gb_per_s": {"memcpy": 10.0, "upload": 50.0},
    "rows": [{"batch": 1, "compute": 900.0, "upload": 850.0}],
}


def row(setup: str, transport: str, load: Load, throughput: float) -> dict[str, Any]:
    step = {
        "batch": 4.0,
        "busy_us": 500.0,
        "queue_us": 100.0,
        "compute_input_us": 800.0,
        "compute_infer_us": 1200.0,
        "compute_output_us": 40.0,
    }
    return {
        "setup": setup,
        "transport": transport,
        "load": load.label,
        "rate": load.rate if isinstance(load, Open) else None,
        "throughput": throughput,
        "latency": {"p50_ms": 5.0, "p99_ms": 20.0},
        "errors": {},
        "generator_limited": False,
        "busiest_client": 0.5,
        "client_cpu_us": 300.0,
        "steps": {"preprocess_640": step, "pcb_detector": step, "nms": step},
        "cores": {"tritonserver": 1.0, "preprocess_640": 2.0, "pcb_detector": 1.0, "nms": 0.5},
        "standin_us": {"upload": 30.0, "compute": 180.0, "answer": 20.0},
    }
