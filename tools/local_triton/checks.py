"""Whether this machine can run the wheel's tritonserver: one small function per question.

Each check takes what it judges as arguments and raises a ServeError whose text names the fix.
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import platform
import random
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InstallationError, PortTakenError, RepositoryError

_INSTALL = "pip install --no-deps nvidia-pytriton==0.7.0"
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 13)
_NUMPY_1 = re.compile(r"\.as_numpy\(|\bpb_utils\.Tensor\(")
_OLDEST_GLIBC = (2, 35)


@dataclass(frozen=True)
class Wheel:
    """Where the parts of an installed nvidia-pytriton lie."""

    binary: Path
    backend: Path
    stub: Path
    libraries: Path


def check_platform(system: str, machine: str) -> None:
    """Raise InstallationError unless this is Linux on x86-64."""
    if system != "Linux" or machine.lower() not in ("x86_64", "amd64"):
        raise InstallationError(
            f"the pip tritonserver runs on Linux x86-64 only, and this is {system} {machine}: "
            "run the nvcr.io/nvidia/tritonserver container instead"
        )


def check_python(version: tuple[int, int]) -> None:
    """Raise InstallationError for a Python that the wheel has no stub for."""
    if not _OLDEST_PYTHON <= version <= _NEWEST_PYTHON:
        raise InstallationError(
            "the pip tritonserver needs Python 3.10 to 3.13, and this is "
            f"{version[0]}.{version[1]}: make the virtual environment with one of those "
            "(uv venv --python 3.13)"
        )


def check_glibc(version: str | None) -> None:
    """Raise InstallationError when glibc ("2.36"; None where there is none) is too old."""
    numbers = re.match(r"(\d+)\.(\d+)", version or "")
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _OLDEST_GLIBC:
        found = f"glibc {version}" if version else "no glibc (musl?)"
        raise InstallationError(
            f"the pip tritonserver needs glibc 2.35 or newer, and this system has {found}: "
            "use Ubuntu 22.04, Debian 12 or newer, or the nvcr.io/nvidia/tritonserver container"
        )


def check_numpy_use(version: str, repository: Path) -> None:
    """Raise RepositoryError for a Python model that NumPy ``version`` would get empty tensors in.

    The wheel's stub was built for NumPy 1. DLPack works with every version; see
    ``tridet_build.steps.tensors``.
    """
    if int(version.split(".")[0]) < 2:
        return
    for path in sorted(repository.glob("*/*/model.py")):
        found = _NUMPY_1.search(path.read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            raise RepositoryError(
                f"{path}: calls {found[0]}), which hands NumPy {version} empty tensors without an "
                "error in the pip tritonserver: use np.from_dlpack(tensor) and "
                "pb_utils.Tensor.from_dlpack(name, array), or pip install 'numpy<2'"
            )


def check_bash(path: str | None) -> None:
    """Raise InstallationError when there is no bash (path: where it is): it starts the stubs."""
    if path is None:
        raise InstallationError(
            "Triton's Python backend starts its models with bash, and there is none on PATH: "
            "apt-get install bash"
        )


def find_wheel(version: tuple[int, int], site_packages: Path | None) -> Wheel:
    """The parts of the wheel under a site-packages folder (None: the wheel is not installed).

    Raises InstallationError when the wheel, or a part of it, is missing.
    """
    if site_packages is None:
        raise InstallationError(f"the nvidia-pytriton wheel is not installed: {_INSTALL}")
    root = site_packages / "pytriton" / "tritonserver"
    wheel = Wheel(
        binary=root / "bin" / "tritonserver",
        backend=root / "backends" / "python",
        stub=root / "python_backend_stubs" / f"{version[0]}.{version[1]}" / _STUB,
        libraries=site_packages / "nvidia_pytriton.libs",
    )
    for part in (wheel.binary, wheel.backend, wheel.stub, wheel.libraries):
        if not part.exists() or (part.is_file() and not os.access(part, os.X_OK)):
            raise InstallationError(
                f"the nvidia-pytriton wheel is not whole ({part.relative_to(site_packages)} is "
                "missing or not executable): pip install --force-reinstall nvidia-pytriton==0.7.0"
            )
    return wheel


_STUB = "triton_python_backend_stub"


def site_packages_of(package: str) -> Path | None:
    """The folder that holds an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).parent


def find_libpython(version: tuple[int, int], folders: Iterable[Path], ldconfig: str) -> Path:
    """The shared Python library that the stub links to.

    Looks in the folders first, then in the text that `ldconfig -p` printed.
    Raises InstallationError when it is in neither.
    """
    name = f"libpython{version[0]}.{version[1]}.so.1.0"
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    for line in ldconfig.splitlines():
        library, arrow, path = line.strip().partition(" => ")
        if arrow and library.split(" ")[0] == name and "x86-64" in library and Path(path).is_file():
            return Path(path)
    raise InstallationError(
        f"{name} is missing, which Triton's Python backend needs: on Debian or Ubuntu "
        f"apt-get install libpython{version[0]}.{version[1]}; or use a Python from uv (uv venv "
        "--managed-python) or from pyenv (PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install)"
    )


def check_repository(repository: Path, models: Sequence[str], config_name: str | None) -> None:
    """Raise RepositoryError when the repository is missing or empty, or lacks a model asked for."""
    if not repository.is_dir():
        raise RepositoryError(
            f"model repository {repository} is not a folder: name one with --repository"
        )
    found = sorted(
        folder.name
        for folder in repository.iterdir()
        if (folder / "config.pbtxt").is_file()
        or (config_name and (folder / "configs" / f"{config_name}.pbtxt").is_file())
    )
    if not found:
        raise RepositoryError(
            f"model repository {repository} holds no model (a folder with a config.pbtxt): "
            "name another one with --repository"
        )
    for model in models:
        if model not in found:
            raise RepositoryError(
                f"model {model!r} is not in {repository}: --model takes one of {', '.join(found)}"
            )


def check_port(option: str, host: str, port: int) -> None:
    """Raise PortTakenError unless host:port can be bound; option names it in the text."""
    try:
        with _listen_socket(host, port):
            return
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} is taken by another process: stop it, or choose another with"
            raise PortTakenError(f"{text} {option}", option) from None
        if error.errno == errno.EACCES:
            text = f"port {port} is reserved for root: choose one from 1024 up with {option}"
            raise PortTakenError(text, option) from None
        text = f"cannot listen on {host}: {error.strerror}; choose an address of this machine with"
        raise PortTakenError(f"{text} --host", "--host") from None


def free_ports(host: str, count: int) -> list[int]:
    """Ports that are free now, all different.

    They lie below the range that the kernel hands to outgoing connections: Triton binds only after
    its models are loaded, and a port from that range could be gone by then.
    """
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first_outgoing = int(kernel.read_text().split()[0]) if kernel.exists() else 0
    sockets: list[socket.socket] = []
    try:
        for _ in range(1000):
            if len(sockets) == count:
                break
            port = random.randrange(10240, first_outgoing) if first_outgoing > 12000 else 0
            try:
                sockets.append(_listen_socket(host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    check_port("--host", host, 0)
                    raise
        return [int(held.getsockname()[1]) for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _listen_socket(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # As Triton does: a port that is only in TIME_WAIT counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def check_machine() -> tuple[Wheel, Path]:
    """All checks of this machine, in the order in which to fix them: the wheel and libpython.

    Raises InstallationError.
    """
    version = sys.version_info[:2]
    check_platform(platform.system(), platform.machine())
    check_python(version)
    check_glibc(_glibc_version())
    wheel = find_wheel(version, site_packages_of("pytriton"))
    check_bash(shutil.which("bash"))
    return wheel, find_libpython(version, _library_folders(), _ldconfig())


def _glibc_version() -> str | None:
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # musl knows no such name
        return None
    return text.removeprefix("glibc ") or None


def _library_folders() -> list[Path]:
    folders = [Path(sys.base_prefix) / "lib", Path(sys.base_prefix) / "lib64"]
    libdir = sysconfig.get_config_var("LIBDIR")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if libdir:
        folders.insert(0, Path(libdir))
        if multiarch:
            folders.insert(1, Path(libdir) / multiarch)
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return folders + [Path(folder) for folder in given.split(":") if folder]


def _ldconfig() -> str:
    # Debian keeps it out of a user's PATH.
    program = shutil.which("ldconfig") or shutil.which("ldconfig", path="/usr/sbin:/sbin")
    if program is None:
        return ""
    return subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
