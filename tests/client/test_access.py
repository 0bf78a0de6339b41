"""The key: found by the user of a local server, sent to nobody else, and needed for little."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tridet.access import GRPC_HEADER, KEY_VARIABLE, key_file, metadata_of


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of a server on port 8001, which has left its key there."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = key_file(8001)
    path.parent.mkdir()
    path.write_text("s3cret\n")
    path.chmod(0o600)
    return path


def test_the_key_that_a_local_server_left(left: Path) -> None:
    assert metadata_of("127.0.0.1:8001", local=True) == ((GRPC_HEADER, "s3cret"),)
    assert metadata_of("127.0.0.1:8002", local=True) == ()
    assert metadata_of("example.org:8001", local=False) == ()
    left.unlink()
    assert metadata_of("127.0.0.1:8001", local=True) == ()


@pytest.mark.usefixtures("left")
def test_the_environment_has_the_key_of_any_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "given")
    for local in (True, False):
        assert metadata_of("gpu-box:8001", local=local) == ((GRPC_HEADER, "given"),)


@pytest.mark.parametrize("fault", ["readable by others", "a link", "a folder", "no key"])
def test_a_file_that_others_may_have_put_there_is_not_trusted(left: Path, fault: str) -> None:
    if fault == "readable by others":
        left.chmod(0o644)
    elif fault == "no key":
        left.write_text("text: with\r\nanother header")
    else:
        left.rename(left.with_name("other"))
        left.mkdir() if fault == "a folder" else left.symlink_to(left.with_name("other"))
    assert metadata_of("127.0.0.1:8001", local=True) == ()


def test_a_user_without_a_home_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", os.devnull)
    assert metadata_of("127.0.0.1:8001", local=True) == ()
