"""What a plan needs of the machine that serves it."""

from dataclasses import replace

import pytest
from build_records import L4, RECORD
from tridet_build.chain.record import BuildRecord, TensorRT
from tridet_build.plan.file import PlanFile
from tridet_build.plan.machine import Gpu
from tridet_build.repository.preflight import Machine, Verdict, preflight

PLAN = PlanFile("tensorrt", "10.14.1.48")
LASTING = replace(RECORD, tensorrt=TensorRT("tensorrt", "10.14.1.48", version_compatible=True))
AMPERE = replace(RECORD, tensorrt=TensorRT("tensorrt", "10.14.1.48", "ampere_plus"))
SAME = replace(RECORD, tensorrt=TensorRT("tensorrt", "10.14.1.48", "same_compute_capability"))
L40S, T4 = Gpu("NVIDIA L40S", "8.9"), Gpu("Tesla T4", "7.5")


@pytest.mark.parametrize(
    ("record", "tensorrt", "gpu", "fatal", "says"),
    [
        (RECORD, "10.14.1.48", L4, None, ""),
        (RECORD, "10.14.1", L4, None, ""),
        (
            RECORD,
            "10.14.1.49",
            L4,
            True,
            "built with TensorRT 10.14.1.48, this machine has 10.14.1.49",
        ),
        (RECORD, None, L4, True, "no TensorRT here, and a plan needs one"),
        (LASTING, "10.15.0.1", L4, None, ""),
        (LASTING, "10.13.0.35", L4, True, "built with TensorRT 10.14.1.48"),
        (LASTING, "11.4.0.106", L4, True, "built with TensorRT 10.14.1.48"),
        (
            RECORD,
            "10.14.1.48",
            L40S,
            False,
            "this machine has NVIDIA L40S (compute capability 8.9): it",
        ),
        (SAME, "10.14.1.48", L40S, None, ""),
        (
            RECORD,
            "10.14.1.48",
            T4,
            True,
            "built for NVIDIA L4 (compute capability 8.9), this machine",
        ),
        (AMPERE, "10.14.1.48", Gpu("NVIDIA H100", "9.0"), None, ""),
        (AMPERE, "10.14.1.48", Gpu("NVIDIA B200", "10.0"), None, ""),
        (AMPERE, "10.14.1.48", T4, True, "built for NVIDIA L4"),
        (RECORD, "10.14.1.48", None, True, "no GPU here, and a plan needs one"),
        (None, "10.14.1.48", L4, False, "no build.json beside it, so its GPU is not known"),
    ],
)
def test_preflight(
    record: BuildRecord | None, tensorrt: str | None, gpu: Gpu | None, fatal: bool | None, says: str
) -> None:
    verdicts = list(preflight(PLAN, record, Machine(tensorrt, (gpu,) if gpu else ())))
    if fatal is None:
        assert verdicts == []
    else:
        (verdict,) = verdicts
        assert verdict.fatal == fatal
        assert says in verdict.text
        assert "; " in verdict.text  # the fix


def test_every_gpu_of_the_server_counts() -> None:
    verdicts = list(preflight(PLAN, RECORD, Machine("10.14.1.48", (L4, T4))))
    assert [type(verdict) for verdict in verdicts] == [Verdict]
