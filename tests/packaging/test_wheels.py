"""The distributions, built and installed: what they hold, what they say of each other, and the
README's first steps from outside the checkout."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import tridet
from clean_environments import ROOT, run, wheel_of
from local_triton import LocalServer

pytestmark = pytest.mark.packaging

NAMES = ("tridet", "tridet_build")


def metadata_of(dist: Path, name: str) -> Message:
    with zipfile.ZipFile(wheel_of(dist, name)) as wheel:
        (member,) = (one for one in wheel.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(member).decode())


@pytest.mark.parametrize("name", NAMES)
def test_both_have_the_one_version(dist: Path, name: str) -> None:
    assert metadata_of(dist, name)["Version"] == tridet.__version__
    assert (dist / f"{name}-{tridet.__version__}.tar.gz").is_file()


def test_build_requires_the_client_of_its_own_version(dist: Path) -> None:
    required = metadata_of(dist, "tridet_build").get_all("Requires-Dist", [])
    assert f"tridet=={tridet.__version__}" in required


def test_descriptions_and_licenses_pass_twine(dist: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir()))


@pytest.mark.parametrize(
    ("name", "packages"),
    [("tridet", {"tridet", "tridet_bench"}), ("tridet_build", {"tridet_build"})],
)
def test_a_wheel_holds_every_file_of_its_packages(
    dist: Path, name: str, packages: set[str]
) -> None:
    root = ROOT / ("client" if name == "tridet" else "build")
    wanted = {
        str(path.relative_to(root))
        for package in packages
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel_of(dist, name)) as wheel:
        found = {one for one in wheel.namelist() if ".dist-info/" not in one}
    assert found == wanted


def test_an_sdist_holds_no_tests_and_no_model(dist: Path) -> None:
    for name in NAMES:
        with tarfile.open(dist / f"{name}-{tridet.__version__}.tar.gz") as sdist:
            tops = {one.split("/")[1] for one in sdist.getnames()}
        assert not tops & {"tests", "tools", "models", "docs"}


def test_the_base_client_is_thin(base: Path) -> None:
    heavy = ("torch", "onnx", "scipy", "matplotlib", "supervision", "tritonclient", "av")
    code = f"import importlib.util as u; print([m for m in {heavy} if u.find_spec(m)])"
    assert run(base / "python", "-c", code) == "[]\n"


def calls_of_the_readme() -> str:
    """The Python of the README's 'Call it'."""
    section = (ROOT / "README.md").read_text().split("\n## Call it\n")[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found.group(1)


@pytest.mark.server
def test_the_readme_from_outside_the_checkout(
    base: Path, draw: Path, build: Path, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "models/pcb", tmp_path / "models/pcb")
    run(build / "tridet-build", "repository", "models/pcb", "--out", "served", cwd=tmp_path)
    with LocalServer(tmp_path / "served", models=["pcb", "pcb_encoded"]) as server:
        code = calls_of_the_readme()
        assert "localhost:8001" in code
        code = code.replace("localhost:8001", server.grpc_url)
        printed = run(base / "python", "-c", code, cwd=tmp_path).splitlines()
        assert printed
        for line in printed:
            assert re.fullmatch(r"\w+ 0\.\d+ \([\d., ]+\)", line)
        command = ["detect", "models/pcb/samples", "--url", server.grpc_url, "--json", "-"]
        found = run(base / "tridet", *command, "--format", "csv", cwd=tmp_path).splitlines()
        assert len(found) == 1 + 38
        run(draw / "tridet", *command[:-2], "--save", "drawn", cwd=tmp_path)
    samples = {one.name for one in (tmp_path / "models/pcb/samples").glob("*.jpg")}
    assert samples and {one.name for one in (tmp_path / "drawn").iterdir()} == samples
