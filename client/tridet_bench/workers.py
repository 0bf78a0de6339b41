"""The processes that send requests, as one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tridet.exceptions import TridetError

from tridet_bench.client_process import ClientProcess
from tridet_bench.loops import Load
from tridet_bench.samples import Samples, merged
from tridet_bench.worker import Phase, PhaseResult, Target, Workload, serve

_HEAD_START_S = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """What all processes did in a phase."""

    samples: Samples
    wall_s: float
    """From the start to the last answer, at least the phase's duration unless it ended early."""
    cpu_s: tuple[float, ...]
    """CPU time of each process."""


class Workers:
    """Processes that send requests to one model. Use as a context manager."""

    def __init__(self, target: Target, processes: int) -> None:
        self._seed = 0
        self._processes = [ClientProcess(serve, target) for _ in range(processes)]

    def get_ready(self, workload: Workload) -> None:
        """Connect, make the frames, and have each of them answered once.

        Raises:
            TridetError: what the server or the frames make impossible.
        """
        self._ask([workload] * len(self._processes))

    def run(self, workload: Workload, load: Load, duration_s: float) -> Run:
        """Put ``load`` on the server and wait for the last answer; the workload must be ready."""
        start_s = time.monotonic() + _HEAD_START_S
        parts = len(self._processes)
        phases = []
        for part in range(parts):
            self._seed += 1
            phases.append(Phase(workload, load.share(part, parts), start_s, duration_s, self._seed))
        results: list[PhaseResult] = self._ask(phases)
        samples = merged([result.samples for result in results])
        end_s = max(result.end_s for result in results)
        return Run(
            samples,
            wall_s=max(end_s - start_s, 0.0 if samples.fatal else duration_s),
            cpu_s=tuple(result.cpu_s for result in results),
        )

    def _ask(self, questions: list[Any]) -> list[Any]:
        try:
            for process, question in zip(self._processes, questions, strict=True):
                process.ask(question)
            answers = [process.answer() for process in self._processes]
        except (EOFError, OSError):
            raise TridetError(
                "a process that sends the requests has ended unexpectedly: "
                "use fewer --processes, a smaller --size or a lower --rate"
            ) from None
        for answer in answers:
            if isinstance(answer, TridetError):
                raise answer
        return answers

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.dismiss(at_once=error is not None)
        for process in self._processes:
            process.join()
