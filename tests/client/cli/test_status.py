"""``tridet status``: the table, and how it ends."""

from __future__ import annotations

import re

import grpc
from fake_triton import FakeTriton, run_cli


def test_status(fake):
    code, out, err = run_cli("status", "--url", fake.url)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"triton 2.51.0 at {fake.url}: ready"
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:-1]}
    assert rows["pcb"] == ["1", "READY", "6", "0", "2.0", "1.00", "0.00", "4.50", "0.00"]
    assert rows["nms"][:2] == ["1", "READY"]
    assert re.fullmatch(r"pcb answers in \d+ ms", out.splitlines()[-1])


def test_a_detector_that_fails_is_not_healthy_though_triton_says_ready(fake):
    def fail(request, context):
        del request
        context.abort(grpc.StatusCode.INTERNAL, "Stub process 'nms_0_0' is not healthy.")

    fake.on_infer = fail
    code, out, err = run_cli("status", "--url", fake.url)
    assert (code, err) == (1, "")
    assert "pcb does not detect: " in out
    assert "the process of a step has died (Stub process 'nms_0_0' is not healthy.)" in out


def test_a_detector_that_is_overloaded_is_healthy(fake):
    def refuse(request, context):
        del request
        context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded: expected at most 3 frames")

    fake.on_infer = refuse
    code, out, _ = run_cli("status", "--url", fake.url)
    assert code == 0
    assert out.splitlines()[-1] == "pcb is overloaded"


def test_status_of_a_server_that_is_not_ready(fake):
    fake.ready = False
    code, out, _ = run_cli("status", "--url", fake.url)
    assert code == 1
    assert "not ready" in out


def test_status_of_nothing():
    with FakeTriton() as gone:
        pass
    code, out, err = run_cli("status", "--url", gone.url)
    assert (code, out) == (1, "")
    assert err.startswith("tridet: error: no server answers")
    assert len(err.splitlines()) == 1


def test_the_servers_words_are_not_obeyed_by_the_terminal(fake):
    fake.models["x\x1b[2J[red]"] = fake.models["nms"]
    code, out, _ = run_cli("status", "--url", fake.url)
    assert code == 0
    assert "\x1b" not in out and "x\\x1b[2J[red]" in out
