"""A file appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tridet.files import atomic_text, write_bytes


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    with atomic_text(tmp_path / "atomic") as file:
        file.write("")
    usual, atomic = (tmp_path / name for name in ("usual", "atomic"))
    assert atomic.stat().st_mode == usual.stat().st_mode


def test_a_text_appears_when_it_is_finished(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with atomic_text(path) as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["out"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out"
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_text(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]
