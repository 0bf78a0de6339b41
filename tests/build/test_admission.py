import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tridet_build.steps import admission
from tridet_build.steps.admission import Admission, OverloadedError

DEADLINE_S = 60.0
_INSTANCES = 3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until told to go on by some seconds."""
    now_ns = time.monotonic_ns()

    def go_on(seconds: float) -> None:
        nonlocal now_ns
        now_ns += int(seconds * 1e9)

    monkeypatch.setattr(admission.time, "monotonic_ns", lambda: now_ns)
    return go_on


def test_full_is_refused_until_one_leaves(tmp_path: Path) -> None:
    door = Admission(3, 10, tmp_path)
    first = door.admit(2)
    door.admit(1)
    with pytest.raises(OverloadedError, match="at most 3 frames under way, got 3 and 1 more"):
        door.admit(1)
    door.release(first)
    with pytest.raises(OverloadedError, match="got 1 and 3 more"):
        door.admit(3)
    door.admit(2)


def test_instances_share_one_count(tmp_path: Path) -> None:
    preprocess, nms = Admission(2, 10, tmp_path), Admission(2, 10, tmp_path)
    tickets = [preprocess.admit(1), nms.admit(1)]
    assert len(set(tickets)) == 2
    with pytest.raises(OverloadedError):
        nms.admit(1)
    for ticket in tickets:
        nms.release(ticket)
        nms.release(ticket)  # a second branch of the ensemble
    preprocess.admit(2)


def test_waits_no_longer_than_the_oldest(tmp_path: Path, clock: Callable[[float], None]) -> None:
    door = Admission(9, 10, tmp_path)
    oldest = door.admit(1)
    clock(2)
    newest = door.admit(1)
    with pytest.raises(
        OverloadedError, match=r"at most 1.5 s, but the oldest of 2 .* waited 2.0 s"
    ):
        door.admit(1, timeout_s=1.5)
    door.release(door.admit(1, timeout_s=2.5))
    clock(9)
    with pytest.raises(OverloadedError, match="at most 10 s, but the oldest of 2"):
        door.admit(1, timeout_s=60)
    door.release(oldest)
    door.release(door.admit(1))
    door.release(newest)


def test_lost_frames_are_forgotten(tmp_path: Path, clock: Callable[[float], None]) -> None:
    """A frame that failed between the two steps never reaches nms."""
    door = Admission(2, 10, tmp_path)
    door.admit(2)
    clock(21)
    assert door.admit(2)


def test_a_request_without_timeout_has_the_servers(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    door = Admission(9, 10, tmp_path)
    door.admit(1)
    clock(9)
    door.admit(1, timeout_s=0)


def test_tables_of_ended_servers_are_removed(tmp_path: Path) -> None:
    Admission(2, 10, tmp_path)
    (mine,) = tmp_path.iterdir()
    ended = mine.with_name(f"{mine.name.rpartition('-')[0]}-999999999")
    # Of another container on the same /dev/shm: its numbers mean nothing here.
    foreign = tmp_path / "tridet-admission-1-999999999"
    for table in (ended, foreign):
        table.write_bytes(b"old")
    Admission(2, 10, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign])


def test_tickets_do_not_run_ahead_of_the_clock(tmp_path: Path) -> None:
    """Else the age of the oldest would be wrong; a large table has the coarsest stamps."""
    door = Admission(8192, 10, tmp_path)
    tick_ns = 1 << door._place_bits
    for _ in range(9000):
        ticket = door.admit(1)
        door.release(ticket)
    assert ticket < time.monotonic_ns() + tick_ns


def test_foreign_tickets_are_ignored(tmp_path: Path) -> None:
    door = Admission(3, 10, tmp_path)
    door.admit(3)
    for ticket in (0, -1, (1 << 62) - 1):
        door.release(ticket)
    with pytest.raises(OverloadedError):
        door.admit(1)


def test_late_release_frees_nobody_else(tmp_path: Path, clock: Callable[[float], None]) -> None:
    door = Admission(1, 10, tmp_path)
    lost = door.admit(1)
    clock(21)
    door.admit(1)
    door.release(lost)
    with pytest.raises(OverloadedError):
        door.admit(1)
    # Nor one of the same moment in the same place.
    (tmp_path / "other").mkdir()
    other = Admission(1, 10, tmp_path / "other")
    first = other.admit(1)
    other.release(first)
    other.admit(1)
    other.release(first)
    with pytest.raises(OverloadedError):
        other.admit(1)


def test_row_of_an_ended_instance_is_taken_again(tmp_path: Path) -> None:
    """Models that are loaded and unloaded over and over do not use the table up."""
    code = (
        "import os, sys; from pathlib import Path; from tridet_build.steps import admission;"
        f"admission.os.getppid = lambda: {os.getppid()};"
        "admission.Admission(4, 10, Path(sys.argv[1])).admit(3)"
    )
    mine = Admission(4, 10, tmp_path)
    mine.admit(1)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
        if done.returncode:
            break
    # What the first left behind counts until it is given up as lost.
    assert "OverloadedError: overloaded: expected at most 4 frames under way, got 4" in done.stderr
    rows = np.fromfile(next(tmp_path.iterdir()), np.int64, count=admission._ROWS)
    assert np.count_nonzero(rows) == 2


def _admit_and_release(folder: str, server: int, start: Any, failures: Any) -> None:
    admission.os.getppid = lambda: server
    door = Admission(_INSTANCES, 30, Path(folder))
    start.wait(DEADLINE_S)
    try:
        for _ in range(20_000):
            door.release(door.admit(1))
    except OverloadedError as error:
        failures.put(str(error))


def test_instances_without_a_lock_never_refuse_what_fits(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    arguments = (str(tmp_path), os.getppid(), context.Barrier(_INSTANCES), failures)
    instances = [
        context.Process(target=_admit_and_release, args=arguments) for _ in range(_INSTANCES)
    ]
    for instance in instances:
        instance.start()
    for instance in instances:
        instance.join(DEADLINE_S)
        assert instance.exitcode == 0
    assert failures.empty()
    Admission(_INSTANCES, 30, tmp_path).admit(_INSTANCES)  # nothing is left under way
