"""Shared memory: where it works, and that it leaves nothing behind however its process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from failures import IMAGE, failure
from fake_triton import FakeTriton
from tridet import Detector, SharedMemoryUnavailable

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


def test_what_a_killed_client_left_registered_is_taken_away_by_the_next():
    with FakeTriton() as fake, Detector(fake.url, "pcb", transport="shm") as alive:
        alive(IMAGE)
        (kept,) = fake.regions
        for _ in range(2):
            command = [sys.executable, "-c", SCRIPT, fake.url, "hang"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert process.stdout.readline() == b"detected\n"
            assert len(fake.regions) == 2
            process.kill()
            process.communicate(timeout=60)
            while blocks_of(process.pid):
                time.sleep(0.01)
        with Detector(fake.url, "pcb", transport="shm") as another:
            another(IMAGE)
            assert len(fake.regions) == 2
        assert list(fake.regions) == [kept]
        assert len(alive(IMAGE)) == 2


def test_a_server_elsewhere_has_no_shared_memory(fake):
    fake.shares_memory = False
    error = failure(fake, transport="shm")
    assert type(error) is SharedMemoryUnavailable
    assert "use transport fit" in str(error)


def test_shared_memory_survives_a_restart_of_the_server(fake):
    with Detector(fake.url, "pcb", transport="shm") as detector:
        detector(IMAGE)
        fake.regions.popitem()[1].close()
        assert len(detector(IMAGE)) == 2
        assert fake.calls["register"] == 2
