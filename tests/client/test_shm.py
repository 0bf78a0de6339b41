"""Shared memory leaves nothing behind, however its process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_triton import FakeTriton

SCRIPT = """
import numpy as np, sys, time, tridet
detector = tridet.Detector(sys.argv[1], "pcb", transport="shm")
detector(np.zeros((300, 200, 3), np.uint8))
print("detected", flush=True)
if sys.argv[2] == "hang":
    time.sleep(600)
"""


def blocks_of(pid: int) -> list[Path]:
    return list(Path("/dev/shm").glob(f"tridet-{pid}-*"))


@pytest.mark.parametrize("end", ["exit", "hang"])
def test_a_process_that_never_closes_its_detector(end):
    with FakeTriton() as fake:
        command = [sys.executable, "-c", SCRIPT, fake.url, end]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.readline() == b"detected\n"
        if end == "hang":
            assert len(blocks_of(process.pid)) == 1
            process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        if end == "exit":
            assert err == b""
        while blocks_of(process.pid):  # until Python's resource tracker has noticed
            time.sleep(0.01)
