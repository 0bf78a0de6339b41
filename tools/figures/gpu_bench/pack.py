"""Pack what a machine without package registries lacks to run ``tools/figures/gpu_bench.py``.

    PYTHONPATH=tools python tools/figures/gpu_bench/pack.py --libpython /usr/local/lib --out FILE

In: tritonserver with one Python's stub, NumPy 1, the client's and the build tools' packages. Left
to the machine: PyTorch, OpenCV, Pillow, ONNX, click, rich. ``install.py`` unpacks it there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from local_triton.checks import find_wheel, site_packages_of

_PACKAGES = (
    *("numpy", "grpcio", "protobuf", "tritonclient", "python-rapidjson", "typing-extensions"),
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection"),
)
_CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_OTHER_PYTHON = "libpython3*"  # of the stub for another Python


def pack(python: tuple[int, int], libpython: Path, out: Path) -> None:
    """Write the archive: a site-packages folder, and libpython/ for a machine that has none."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        site = root / "site-packages"
        _triton(python, site)
        _wheels(python, root / "wheels", site)
        _libpython(python, libpython, root / "libpython")
        shutil.rmtree(root / "wheels")
        with tarfile.open(out, "w:xz", preset=9) as archive:
            archive.add(root, arcname=".")


def _triton(python: tuple[int, int], site: Path) -> None:
    wheel = find_wheel(python, site_packages_of("pytriton"))
    triton = site / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / f"{python[0]}.{python[1]}"
    for folder in (triton / "bin", stub):
        folder.mkdir(parents=True)
    shutil.copy2(wheel.binary, triton / "bin")
    shutil.copy2(wheel.stub, stub)
    skipped = shutil.ignore_patterns("__pycache__", _OTHER_PYTHON)
    shutil.copytree(wheel.backend, triton / "backends" / "python", ignore=skipped)
    shutil.copytree(wheel.libraries, site / wheel.libraries.name, ignore=skipped)
    for library in (site / wheel.libraries.name).glob("libicudata-*"):
        _hollow(library)


def _hollow(icu_data: Path) -> None:
    """Put an empty library in the place of ICU's tables: 29 MB that no path through Triton reads.

    libarchive needs libxml2, which needs ICU: the loader must find the name and its one symbol.
    """
    version = icu_data.name.split(".so.")[1].split(".")[0]
    subprocess.run(
        [
            *("cc", "-shared", "-nostdlib", "-x", "c", "-", f"-Wl,-soname,{icu_data.name}"),
            *("-o", str(icu_data)),
        ],
        input=f"const char icudt{version}_dat[64] = {{0}};",
        text=True,
        check=True,
    )


def _wheels(python: tuple[int, int], folder: Path, site: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)),
            *("--only-binary=:all:", "--implementation", "cp", "-c", str(_CONSTRAINTS)),
            *("--python-version", f"{python[0]}.{python[1]}"),
            *(word for name in _PLATFORMS for word in ("--platform", name)),
            *_PACKAGES,
        ],
        check=True,
    )
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as content:
            names = [name for name in content.namelist() if "/tests/" not in name]
            content.extractall(site, names)


def _libpython(python: tuple[int, int], folder: Path, target: Path) -> None:
    """Copy the library and its extension modules, which another build's may be linked into."""
    version = f"{python[0]}.{python[1]}"
    skipped = shutil.ignore_patterns("_test*", "_tkinter*", "*xx*")
    modules = folder / f"python{version}" / "lib-dynload"
    shutil.copytree(modules, target / "lib-dynload", ignore=skipped)
    shutil.copy2(folder / f"libpython{version}.so.1.0", target)
    files = [str(file) for file in target.rglob("*.so*")]
    subprocess.run(["strip", "--strip-unneeded", *files], check=True)


def main() -> None:
    """Parse and call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="3.12", help="of the machine, as 3.12")
    parser.add_argument("--libpython", type=Path, required=True, help="folder of such a libpython")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    major, minor = asked.python.split(".")
    pack((int(major), int(minor)), asked.libpython, asked.out)


if __name__ == "__main__":
    main()
