"""One server and the cases that are run against it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local_triton import LocalServer
from tridet.server_info import ServerInfo
from tridet_bench.cases import Bench, Case
from tridet_bench.loops import Closed, Load, Open
from tridet_bench.worker import Target, Workload
from tridet_bench.workers import Workers
from tridet_build.manifest.manifest import Manifest

from gpu_bench.observed import cores, cpu_by_process, spent_by_standin
from gpu_bench.repository import Setup, detector_folder, write_repository

_STANDIN = ("executions", "frames", "upload", "compute", "answer")
_TIMEOUT_S = 30.0
# They would poll the GPU that is measured.
_OPTIONS = ("--allow-gpu-metrics=false",)
_SHM_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Running:
    """A server under measurement."""

    server: LocalServer
    bench: Bench
    setup: Setup
    standin: Path

    def measure(self, workload: Workload, load: Load) -> dict[str, Any]:
        """Run one case; figures for a row of the report."""
        self.bench.workers.get_ready(workload)
        cpu, spent = cpu_by_process(self.server.pid), spent_by_standin(self.standin)
        started = time.monotonic()
        result = self.bench.run(Case(workload, load))
        wall_s = time.monotonic() - started
        busy = cores(cpu, cpu_by_process(self.server.pid), wall_s)
        account = dict(zip(_STANDIN, spent_by_standin(self.standin) - spent, strict=True))
        return {
            "setup": self.setup.label,
            "transport": workload.transport,
            "load": load.label,
            "rate": load.rate if isinstance(load, Open) else None,
            "clients": load.concurrency if isinstance(load, Closed) else None,
            "throughput": result.throughput,
            "latency": asdict(result.latency),
            "errors": dict(result.errors),
            "messages": dict(result.messages),
            "late_p99_ms": result.late_p99_ms,
            "generator_limited": result.generator_limited,
            "busiest_client": result.busiest_client,
            "client_cpu_us": (result.client_cpu_ms or 0.0) * 1e3,
            "budget_ms": dict(result.budget_ms),
            "steps": {
                name: {
                    "batch": step.mean_batch,
                    "busy_us": step.busy_ns / 1e3 / max(1, step.inferences),
                    **{
                        f"{part}_us": step.ms(part) * 1e3
                        for part in ("queue", "compute_input", "compute_infer", "compute_output")
                    },
                }
                for name, step in result.steps.items()
            },
            # Over the warm-up too, and the pauses around: shares count, not sums.
            "cores": busy,
            "standin_us": {
                name: account[name] / max(1.0, account["frames"]) * 1e6 for name in _STANDIN[2:]
            },
        }


@contextmanager
def running(
    manifest: Manifest,
    setup: Setup,
    trunk: Path,
    *,
    processes: int,
    duration_s: float,
    warmup_s: float,
) -> Iterator[Running]:
    """Serve the pipeline with these instances, and hold the client processes ready."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tridet-gpu-bench-"))
        root = Path(folder) / "repository"
        write_repository(manifest, setup, trunk, root)
        server = stack.enter_context(
            LocalServer(root, shm_bytes=_SHM_BYTES, timeout_s=120.0, options=_OPTIONS)
        )
        target = Target(server.grpc_url, manifest.name, None, _TIMEOUT_S, {})
        asked = stack.enter_context(ServerInfo(server.grpc_url, None, _TIMEOUT_S))
        workers = stack.enter_context(Workers(target, processes))
        bench = Bench(workers, asked, manifest.name, duration_s, warmup_s)
        yield Running(server, bench, setup, detector_folder(root, manifest.name))
