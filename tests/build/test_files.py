"""Artifacts are readable for a server that runs as another user, in folders that are made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tridet_build.files import write_atomically


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_an_artifact_is_readable_by_others_whatever_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.onnx"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]


def test_a_failure_leaves_the_old_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    write_atomically(path, b"old")

    def full(self: Path, _content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
