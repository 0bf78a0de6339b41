"""No name commands the terminal."""

from __future__ import annotations

import pytest
from fake_triton import run_cli
from tridet.cli.columns import in_columns
from tridet.cli.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 車 🙂", "Größe 車 🙂"),
        ("\x1b[2Ja\r\nb\x07", r"\x1b[2Ja\r\nb\x07"),
        ("\x9b2J\x7f\u2028", r"\x9b2J\x7f\u2028"),
        ("caf\udce9.jpg", r"caf\udce9.jpg"),
    ],
)
def test_what_is_written_out(text, shown):
    assert printable(text) == shown
    assert in_columns([(text, "1")]) == f"{shown}  1"


def test_a_file_that_is_not_there_does_not_command_the_terminal(fake):
    code, _, err = run_cli("detect", "gone\x1b[2J.jpg", "--url", fake.url)
    assert code == 1
    assert r"gone\x1b[2J.jpg" in err
    assert "\x1b" not in err
