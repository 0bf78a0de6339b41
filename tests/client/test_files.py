"""A file appears whole or not at all."""

from __future__ import annotations

import os
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


def test_a_missing_folder_is_named_and_no_temporary_file(tmp_path):
    path = tmp_path / "no" / "x.json"
    with pytest.raises(FileNotFoundError) as caught, atomic_text(path):
        pass
    assert caught.value.filename == str(path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught_too:
        write_bytes(tmp_path / "file" / "x", b"")
    assert caught_too.value.filename == str(tmp_path / "file" / "x")


@pytest.mark.parametrize("name", ["text", "nowhere"])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, name):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "text").write_text("old")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / name)
    with atomic_text(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / name).read_text() == "new"
    assert names_in(tmp_path / "real") == sorted({"text", name})


def test_a_pipe_and_a_device_are_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_text(pipe) as file:
            file.write("new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    write_bytes(Path("/dev/null"), b"x")
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_bytes(link, b"x")
    assert link.is_symlink() and Path("/dev/null").is_char_device()
    assert names_in(tmp_path) == ["null", "pipe"]


def test_what_utf8_cannot_hold_is_escaped(tmp_path):
    with atomic_text(tmp_path / "out") as file:
        file.write(os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "out").read_text() == "caf\\udce9"
