"""What each failure to install or to start says, before tritonserver is run."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from echo_server import write_model
from local_triton import (
    InstallationError,
    PortTakenError,
    RepositoryError,
    checks,
)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: checks.check_platform("Darwin", "arm64"), ["Darwin arm64", "container"]),
        (lambda: checks.check_platform("Linux", "aarch64"), ["aarch64", "x86-64"]),
        (lambda: checks.check_python((3, 14)), ["3.14", "3.10 to 3.13", "uv venv"]),
        (lambda: checks.check_python((3, 9)), ["3.9"]),
        (lambda: checks.check_glibc("2.31"), ["2.31", "2.35"]),
        (lambda: checks.check_glibc(None), ["no glibc", "2.35"]),
        (lambda: checks.check_bash(None), ["bash", "apt-get install"]),
        (lambda: checks.find_wheel((3, 11), None), ["pip install --no-deps nvidia-pytriton"]),
        (
            lambda: checks.find_libpython((3, 12), [], "libpython3.11.so.1.0 (x) => /x"),
            ["libpython3.12.so.1.0", "apt-get install libpython3.12", "uv", "--enable-shared"],
        ),
    ],
)
def test_installation_failure_names_its_fix(check: Callable[[], object], said: list[str]) -> None:
    with pytest.raises(InstallationError) as caught:
        check()
    text = str(caught.value)
    assert "\n" not in text
    assert [part for part in said if part not in text] == []


def test_checks_pass_what_works() -> None:
    checks.check_platform("Linux", "x86_64")
    for minor in (10, 11, 12, 13):
        checks.check_python((3, minor))
    for version in ("2.35", "2.36", "2.41.9000", "3.0"):
        checks.check_glibc(version)
    assert checks.site_packages_of("no_such_package_anywhere") is None


@pytest.mark.parametrize("call", ["tensor.as_numpy()", 'pb_utils.Tensor("Y", array)'])
def test_a_model_that_numpy_2_would_get_empty_tensors_in_is_refused(
    tmp_path: Path, call: str
) -> None:
    write_model(tmp_path, "old", f"import numpy\nanswer = {call}\n")
    checks.check_numpy_use("1.26.4", tmp_path)
    with pytest.raises(RepositoryError, match=r"old/1/model\.py.*2\.1\.3.*from_dlpack"):
        checks.check_numpy_use("2.1.3", tmp_path)


def test_incomplete_wheel_names_the_missing_part(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match=r"bin/tritonserver.*force-reinstall"):
        checks.find_wheel((3, 11), tmp_path)


def test_libpython_is_found_in_a_folder_and_in_the_cache(tmp_path: Path) -> None:
    library = tmp_path / "libpython3.12.so.1.0"
    library.touch()
    cache = f"\tlibpython3.12.so.1.0 (libc6,x86-64) => {library}\n\tlibz.so.1 (libc6) => /x\n"
    assert checks.find_libpython((3, 12), [tmp_path / "no", tmp_path], "") == library
    assert checks.find_libpython((3, 12), [], cache) == library


def test_missing_and_empty_repositories(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"nowhere is not a folder.*--repository"):
        checks.check_repository(tmp_path / "nowhere", [], "python")
    (tmp_path / "notes").mkdir()
    with pytest.raises(RepositoryError, match="holds no model"):
        checks.check_repository(tmp_path, [], "python")
    (tmp_path / "nms" / "configs").mkdir(parents=True)
    (tmp_path / "nms" / "configs" / "python.pbtxt").touch()
    checks.check_repository(tmp_path, ["nms"], "python")
    with pytest.raises(RepositoryError, match=r"'pcb' is not in .* one of nms"):
        checks.check_repository(tmp_path, ["pcb"], "python")


def test_port_failures_name_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        busy = held.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"{busy} is taken.*--grpc-port") as caught:
            checks.check_port("--grpc-port", "127.0.0.1", busy)
    assert caught.value.option == "--grpc-port"
    with pytest.raises(PortTakenError, match=r"cannot listen on 192\.0\.2\.1.*--host"):
        checks.check_port("--grpc-port", "192.0.2.1", 0)
    assert len(set(checks.free_ports("127.0.0.1", 20))) == 20
