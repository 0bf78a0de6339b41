"""The private folder of a server, and what a killed one leaves behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from local_triton import (
    folder,
)

SHM = Path("/dev/shm")


def test_leftovers_of_a_killed_supervisor_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stale, lock = folder.make_folder()
    os.close(lock)
    used, held = folder.make_folder()
    region = SHM / f"{folder.shm_prefix(folder.token_of(stale))}region"
    region.touch()
    try:
        folder.remove_leftovers()
        assert not stale.exists()
        assert not region.exists()
        assert used.exists()
    finally:
        os.close(held)
        region.unlink(missing_ok=True)


def test_shared_memory_is_taken_by_what_is_free() -> None:
    sizes = [folder.shm_bytes_per_instance(mib << 20) >> 20 for mib in (64, 200, 4096)]
    assert sizes == [1, 8, 16]


def test_private_folder_has_a_path_that_a_shell_leaves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = tmp_path / "with space"
    spaced.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spaced))
    made, lock = folder.make_folder()
    try:
        assert " " not in str(made)
    finally:
        os.close(lock)
        (made / "lock").unlink()
        made.rmdir()


def test_leftovers_of_strangers_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder named like a pattern once removed what a running server had in shared memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trap, link = tmp_path / "tridet-serve-*", tmp_path / "tridet-serve-0123abcd"
    trap.mkdir()
    (trap / "lock").touch()
    link.symlink_to(trap)
    region = SHM / f"tridet_{'0' * 8}_test"
    region.touch()
    try:
        folder.remove_leftovers()
        assert trap.is_dir() and link.is_symlink() and region.exists()
    finally:
        region.unlink()
