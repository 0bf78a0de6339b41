"""A case that `make bench` measured, for tests of what is made of it."""

from bench_pipelines.summary import CaseSummary


def case(pipeline: str, size: str, p50_ms: float, **changes: object) -> CaseSummary:
    return CaseSummary(
        **{
            "pipeline": pipeline,
            "size": size,
            "concurrency": 1,
            "frames": 10,
            "p50_ms": p50_ms,
            "p99_ms": 2 * p50_ms,
            "frames_per_s": 1000 / p50_ms,
            "outside_ms": 3.0,
            "outside_step_ms": 2.0,
            "client_cpu_ms": 1.0,
            "server_cpu_ms": 2.0,
            "round_p50_ms": (p50_ms, p50_ms),
            "steps": {},
            **changes,
        }  # type: ignore[arg-type]
    )
