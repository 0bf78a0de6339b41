"""``tridet status``: the table, and how it ends."""

from __future__ import annotations

from fake_triton import FakeTriton, run_cli


def test_status(fake):
    code, out, err = run_cli("status", "--url", fake.url)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"triton 2.51.0 at {fake.url}: ready"
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}
    assert rows["pcb"] == ["1", "READY", "6", "0", "2.0", "1.00", "0.00", "4.50", "0.00"]
    assert rows["nms"][:2] == ["1", "READY"]


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
