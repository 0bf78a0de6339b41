"""What the processes of a server spend: CPU time by step, and the stand-in's own account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from bench_pipelines.cpu_clock import cpu_seconds, process_tree

SERVER = "tritonserver"


def cpu_by_process(pid: int) -> dict[str, float]:
    """Return CPU seconds so far: of tritonserver, and of all instances of each step together."""
    found: defaultdict[str, float] = defaultdict(float)
    for process in process_tree(pid):
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
            found[_step_of(words)] += cpu_seconds([process])
        except OSError:
            continue  # it has ended
    return dict(found)


def cores(
    before: Mapping[str, float], after: Mapping[str, float], wall_s: float
) -> dict[str, float]:
    """Return how many cores each kept busy between two readings."""
    return {name: (after[name] - before.get(name, 0.0)) / wall_s for name in sorted(after)}


def spent_by_standin(folder: Path) -> npt.NDArray[np.float64]:
    """Return the sums that standin.py keeps: float64 [5], see there."""
    files = list(folder.glob("spent-*"))
    spent = np.zeros(5)
    for file in files:
        spent += np.fromfile(file, np.float64)
    return spent


def _step_of(words: list[str]) -> str:
    # A stub is started with the path of its model.py: <repository>/<step>/1/model.py.
    for word in words:
        if word.endswith("/1/model.py"):
            return Path(word).parts[-3]
    return SERVER
