"""Which TensorRT and which GPUs a machine has."""

import sys
from pathlib import Path

import pytest
from tridet_build.plan import machine


def test_tensorrt_version_from_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("TRT_VERSION", "10.14.1.48+cuda13.0.2.006")
    assert machine.tensorrt_version(libraries=["libnone.so"]) == "10.14.1.48"
    monkeypatch.delenv("TRT_VERSION")
    assert machine.tensorrt_version(libraries=["libnone.so"]) is None


def test_gpus_from_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9'\necho 'NVIDIA H100 80GB HBM3, 9.0'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "_driver_gpus", list)
    assert machine.gpus() == [
        machine.Gpu("NVIDIA L4", "8.9"),
        machine.Gpu("NVIDIA H100 80GB HBM3", "9.0"),
    ]
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert machine.gpus() == []


def test_no_driver_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._driver_gpus("libnone.so") == []
    assert machine._smi_gpus() == []
