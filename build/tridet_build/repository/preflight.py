"""Will this machine load that plan? Its TensorRT and GPUs against what the plan was built with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tridet_build.chain.record import BuildRecord
from tridet_build.plan import machine
from tridet_build.plan.file import PlanFile, same_version

_REBUILD: Final = (
    "build it again in the container that serves it (`docker compose run --rm builder`)"
)
_AMPERE: Final = 8
_OLDEST_RELEASE: Final = (26, 7)


@dataclass(frozen=True)
class Machine:
    """What will load the plans.

    Attributes:
        tensorrt: version, None if there is none.
        gpus: those that the server may use.
    """

    tensorrt: str | None
    gpus: tuple[machine.Gpu, ...]


@dataclass(frozen=True)
class Verdict:
    """One reason for or against loading a plan; ``fatal`` if the server would fail."""

    fatal: bool
    text: str


def this_machine() -> Machine:
    """Look at the machine that this runs on."""
    return Machine(machine.tensorrt_version(), tuple(machine.gpus()))


def preflight(found: PlanFile, record: BuildRecord | None, here: Machine) -> Iterator[Verdict]:
    """Compare a plan with the machine that is to load it.

    Args:
        found: what the file itself says.
        record: its build.json; None if there is none.
        here: the machine.
    """
    problem = found.problem
    if problem:
        yield Verdict(True, problem)
        return
    yield from _version(found, record, here.tensorrt)
    if not here.gpus:
        yield Verdict(True, "no GPU here, and a plan needs one; serve the ONNX instead")
    elif record is None:
        yield Verdict(False, "no build.json beside it, so its GPU is not known; " + _REBUILD)
    elif record.gpu:
        hardware = record.tensorrt.hardware if record.tensorrt else "none"
        yield from _gpus(record.gpu, hardware, here.gpus)


def outdated(release: str | None) -> str | None:
    """Say what speaks against serving with a release of Triton.

    Args:
        release: YY.MM, as NVIDIA's container has it in NVIDIA_TRITON_SERVER_VERSION; None outside.
    """
    if not release or _numbers(release) >= _OLDEST_RELEASE:
        return None
    return (
        f"Triton {release} has known security holes (CVE-2026-16497 is mended in 26.07): serve "
        "with a newer release (TRITON_TAG)"
    )


def _version(found: PlanFile, record: BuildRecord | None, here: str | None) -> Iterator[Verdict]:
    built = found.version or (record.tensorrt.version if record and record.tensorrt else None)
    if here is None:
        yield Verdict(True, "no TensorRT here, and a plan needs one; serve the ONNX instead")
        return
    if built is None or same_version(built, here):
        return
    lasting = bool(record and record.tensorrt and record.tensorrt.version_compatible)
    if lasting and _numbers(here) >= _numbers(built) and here.split(".")[0] == built.split(".")[0]:
        return
    yield Verdict(True, f"built with TensorRT {built}, this machine has {here}; {_REBUILD}")


def _gpus(built: machine.Gpu, hardware: str, here: Sequence[machine.Gpu]) -> Iterator[Verdict]:
    for gpu in here:
        if hardware == "ampere_plus":
            fits = gpu.major >= _AMPERE
        else:
            fits = gpu.compute_capability == built.compute_capability
        if not fits:
            yield Verdict(True, f"built for {built}, this machine has {gpu}; {_REBUILD}")
        elif hardware == "none" and gpu.name != built.name:
            yield Verdict(
                False, f"built on {built}, this machine has {gpu}: it may be slower; {_REBUILD}"
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdecimal())
