import contextlib
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tridet_build.steps import admission
from tridet_build.steps.admission import Admission, OverloadedError

DEADLINE_S = 60.0
_INSTANCES = 3


class Clock:
    """A clock that stands still until told to go on."""

    def __init__(self) -> None:
        self.now_ns = time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return self.now_ns

    def go_on(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission, "time", clock)
    return clock


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
    preprocess, other, nms = (Admission(2, 10, tmp_path) for _ in range(3))
    tickets = [preprocess.admit(1), other.admit(1)]
    assert len(set(tickets)) == 2
    with pytest.raises(OverloadedError):
        other.admit(1)
    for ticket in tickets:
        nms.release(ticket)
    preprocess.admit(2)


def test_an_instance_of_another_limit_does_not_harm_the_table(tmp_path: Path) -> None:
    """As when the steps are loaded anew, one after the other, with another max_in_flight."""
    preprocess = Admission(2, 10, tmp_path)
    ticket = preprocess.admit(1)
    smaller, larger = Admission(1, 10, tmp_path), Admission(9, 10, tmp_path)
    with pytest.raises(OverloadedError, match="at most 2 frames under way, got 1 and 2 more"):
        larger.admit(2)
    smaller.release(ticket)
    larger.release(preprocess.admit(2))


def served_each(door: Admission, clock: Clock, seconds: float, times: int) -> None:
    """Let so many frames through, one after the other, each in so many seconds."""
    for _ in range(times):
        ticket = door.admit(1)
        clock.go_on(seconds)
        door.release(ticket)


def test_a_frame_that_would_take_too_long_is_refused_at_once(tmp_path: Path, clock: Clock) -> None:
    door = Admission(99, 10, tmp_path)
    served_each(door, clock, 0.5, 4)  # two a second
    for _ in range(3):
        door.admit(1)
    with pytest.raises(
        OverloadedError, match=r"at most 1.5 s, but 3 frames under way make it 2.10 s"
    ):
        door.admit(1, timeout_s=1.5)
    door.admit(1, timeout_s=2.5)
    for _ in range(15):
        door.admit(1)
    with pytest.raises(OverloadedError, match=r"at most 10 s, but 19 .* make it 10.50 s"):
        door.admit(1, timeout_s=60)


def test_pauses_do_not_count_as_slowness(tmp_path: Path, clock: Clock) -> None:
    door = Admission(99, 10, tmp_path)
    for _ in range(5):
        served_each(door, clock, 0.01, 1)
        clock.go_on(0.4)
    for _ in range(9):
        door.admit(1, timeout_s=0.115)
    with pytest.raises(OverloadedError):
        for _ in range(9):
            door.admit(1, timeout_s=0.115)


def test_a_server_that_stands_still_is_noticed(tmp_path: Path, clock: Clock) -> None:
    door = Admission(99, 10, tmp_path)
    served_each(door, clock, 0.1, 5)
    door.admit(1)
    clock.go_on(0.25)
    with pytest.raises(OverloadedError, match=r"at most 0.2 s"):
        door.admit(1, timeout_s=0.2)
    door.admit(1, timeout_s=0.5)


def test_a_late_frame_is_counted_out_and_not_served(tmp_path: Path, clock: Clock) -> None:
    door = Admission(1, 10, tmp_path)
    ticket = door.admit(1, timeout_s=0.5)
    clock.go_on(0.6)
    with pytest.raises(OverloadedError, match=r"at most 0.5 s, took 0.60 s"):
        door.release(ticket)
    door.admit(1)


def test_what_is_overtaken_is_lost(tmp_path: Path, clock: Clock) -> None:
    """A frame that failed, or whose request was cancelled, never reaches nms."""
    door = Admission(3, 10, tmp_path)
    served_each(door, clock, 0.05, 2)
    door.admit(2)
    clock.go_on(0.01)
    served_each(door, clock, 0.05, 1)
    with pytest.raises(OverloadedError, match="got 2 and 2 more"):
        door.admit(2)
    clock.go_on(0.5)
    served_each(door, clock, 0.05, 1)
    clock.go_on(0.01)
    door.admit(3)


def test_a_frame_given_up_too_early_is_served_all_the_same(tmp_path: Path, clock: Clock) -> None:
    """Of two detectors, the slow one is overtaken by the quick one."""
    door = Admission(3, 10, tmp_path)
    slow = [door.admit(1), door.admit(1)]
    for _ in range(20):
        served_each(door, clock, 0.05, 1)
    for ticket in slow:
        door.release(ticket)


def test_all_lost_at_once_close_the_door_for_a_moment_only(tmp_path: Path, clock: Clock) -> None:
    door = Admission(4, 10, tmp_path)
    served_each(door, clock, 0.05, 2)
    door.admit(4)
    with pytest.raises(OverloadedError):
        door.admit(1)
    clock.go_on(0.61)
    assert door.admit(4)


def test_where_none_ever_left_all_may_be_lost(tmp_path: Path, clock: Clock) -> None:
    """As after a start, when somebody calls the preprocess step by hand."""
    door = Admission(2, 10, tmp_path)
    door.admit(2)
    clock.go_on(2.9)
    with pytest.raises(OverloadedError):
        door.admit(1)
    clock.go_on(0.2)
    assert door.admit(2)


def test_withdrawn_frames_are_not_under_way(tmp_path: Path) -> None:
    door = Admission(2, 10, tmp_path)
    door.withdraw(door.admit(2))
    door.admit(2)


@pytest.mark.parametrize("limit_s", [1.0, 5.0])
@pytest.mark.parametrize("load", [2, 10])
@pytest.mark.parametrize(("batch", "batch_s", "lanes"), [(1, 0.1, 1), (8, 0.18, 1), (16, 0.1, 4)])
def test_overload_costs_no_throughput_and_serves_nothing_late(
    tmp_path: Path, clock: Clock, batch: int, batch_s: float, lanes: int, load: int, limit_s: float
) -> None:
    """A simulated detector in an open loop (Poisson), at several times what it can do."""
    door, exit_ = Admission(512, limit_s, tmp_path), Admission(512, limit_s, tmp_path)
    capacity = lanes * batch / batch_s
    chance = random.Random(7)
    start_s, now_s, end_s = clock.now_ns / 1e9, 0.0, 12 * limit_s
    queue: list[tuple[int, float]] = []
    running: list[tuple[float, list[tuple[int, float]]]] = []
    served, late_at_s = [], []
    arrival_s = 0.0
    while now_s < end_s:
        now_s = min([arrival_s, *(done_s for done_s, _ in running)])
        clock.now_ns = int((start_s + now_s) * 1e9)
        if now_s == arrival_s:
            arrival_s += chance.expovariate(capacity * load)
            with contextlib.suppress(OverloadedError):
                queue.append((door.admit(1), now_s))
        for each in [each for each in running if each[0] <= now_s]:
            running.remove(each)
            for ticket, came_s in each[1]:
                try:
                    exit_.release(ticket)
                    served.append((now_s, now_s - came_s))
                except OverloadedError:
                    late_at_s.append(now_s)
        while queue and len(running) < lanes:
            running.append((now_s + batch_s, queue[:batch]))
            queue = queue[batch:]
    # Before the first leaves, nobody can know how long it takes.
    settled = [age_s for left_s, age_s in served if left_s > end_s / 3]
    assert len(settled) >= 0.95 * capacity * end_s * 2 / 3
    assert max(age_s for _, age_s in served) <= limit_s
    assert sum(left_s > end_s / 3 for left_s in late_at_s) <= 0.08 * len(settled)


def test_a_request_without_timeout_has_the_servers(tmp_path: Path, clock: Clock) -> None:
    door = Admission(9, 10, tmp_path)
    ticket = door.admit(1, timeout_s=0)
    clock.go_on(9)
    door.release(ticket)


def test_tables_of_ended_servers_are_removed(tmp_path: Path) -> None:
    Admission(2, 10, tmp_path)
    (mine,) = tmp_path.iterdir()
    prefix, _, started = mine.name.rpartition("-")
    ended = mine.with_name(f"{prefix.rpartition('-')[0]}-999999999-{started}")
    # Its number came again, for another process.
    reused = mine.with_name(f"{prefix}-1{started}")
    # Of another container on the same /dev/shm: its numbers mean nothing here.
    foreign = tmp_path / f"tridet-admission-1-999999999-{started}"
    for table in (ended, reused, foreign):
        table.write_bytes(b"old")
    Admission(2, 10, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign])


@pytest.mark.parametrize("trap", ["symlink", "hard link"])
def test_a_planted_link_is_not_followed(tmp_path: Path, trap: str) -> None:
    Admission(2, 10, tmp_path)
    (mine,) = tmp_path.iterdir()
    mine.unlink()
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    mine.symlink_to(target) if trap == "symlink" else mine.hardlink_to(target)
    with pytest.raises((OSError, RuntimeError)):
        Admission(2, 10, tmp_path)
    assert target.read_bytes() == b"theirs"


def test_foreign_tickets_are_ignored(tmp_path: Path) -> None:
    door = Admission(3, 10, tmp_path)
    door.admit(3)
    for ticket in (0, -1, (1 << 62) - 1, 1 << 40):
        with pytest.raises(OverloadedError, match="given up as lost"):
            door.release(ticket)
    with pytest.raises(OverloadedError):
        door.admit(1)


def test_late_release_frees_nobody_else(tmp_path: Path, clock: Clock) -> None:
    door = Admission(1, 10, tmp_path)
    lost = door.admit(1)
    clock.go_on(21)
    door.admit(1)
    with pytest.raises(OverloadedError, match="given up as lost"):
        door.release(lost)
    with pytest.raises(OverloadedError, match="at most 1 frames"):
        door.admit(1)
    # Nor one of the same moment in the same place.
    (tmp_path / "other").mkdir()
    other = Admission(1, 10, tmp_path / "other")
    first = other.admit(1)
    other.release(first)
    other.admit(1)
    with pytest.raises(OverloadedError, match="given up as lost"):
        other.release(first)
    with pytest.raises(OverloadedError, match="at most 1 frames"):
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
