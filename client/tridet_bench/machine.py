"""Where and with what a run was made: figures without it say nothing."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tridet.timestamps import utc_text
from tridet.versions import installed_versions

_PACKAGES = ("tridet", "grpcio", "protobuf", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Machine:
    """The machine, the software and the moment."""

    cpu: str
    cores: int
    """That this process may use."""
    date: str
    """ISO 8601, in UTC."""
    versions: dict[str, str]


def this_machine(triton_version: str | None, more_packages: Sequence[str] = ()) -> Machine:
    """Describe this machine; the caller knows the server's version, None without a server."""
    versions = {"python": platform.python_version()}
    if triton_version is not None:
        versions["tritonserver"] = triton_version
    packages = (*_PACKAGES, *more_packages)
    versions |= dict.fromkeys(packages, "?") | installed_versions(packages)
    return Machine(_cpu_model(), len(os.sched_getaffinity(0)), utc_text(time.time()), versions)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_busy_s() -> float:
    """Return the CPU seconds that all processes of this machine have used since it started."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def busy_cores(for_s: float) -> float:
    """Return the mean number of cores that are busy from now on, after that many seconds."""
    busy_s, wall_s = machine_busy_s(), time.monotonic()
    time.sleep(for_s)
    return (machine_busy_s() - busy_s) / (time.monotonic() - wall_s)


class OtherLoad:
    """How many cores other programs kept busy during a run: a noisy run should say so."""

    def __init__(self) -> None:
        self._busy_s, self._own_s = machine_busy_s(), _own_cpu_s()
        self._wall_s = time.monotonic()

    def cores(self) -> float:
        """Return the mean number of cores since the start that were busy with other programs.

        To be called when the processes that this one started have ended: only then does the system
        tell what they used.
        """
        busy_s = machine_busy_s() - self._busy_s - (_own_cpu_s() - self._own_s)
        return max(0.0, busy_s / (time.monotonic() - self._wall_s))


def _own_cpu_s() -> float:
    """CPU seconds of this process and of those of its children that have ended."""
    return sum(os.times()[:4])
