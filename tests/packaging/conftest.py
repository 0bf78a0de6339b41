from pathlib import Path

import pytest
from clean_environments import build_distributions, install, wheel_of


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel of both distributions."""
    folder = tmp_path_factory.mktemp("dist")
    build_distributions(folder)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Path:
    """The programs of an environment with tridet and no extra."""
    return install(tmp_path_factory.mktemp("base") / "venv", str(wheel_of(dist, "tridet")))


@pytest.fixture(scope="session")
def draw(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Path:
    """The same with the extra draw."""
    what = f"{wheel_of(dist, 'tridet')}[draw]"
    return install(tmp_path_factory.mktemp("draw") / "venv", what)


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Path:
    """The same with the extra stream."""
    what = f"{wheel_of(dist, 'tridet')}[stream]"
    return install(tmp_path_factory.mktemp("stream") / "venv", what)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Path:
    """The programs of an environment with tridet-build and no extra."""
    what = [str(wheel_of(dist, name)) for name in ("tridet", "tridet_build")]
    return install(tmp_path_factory.mktemp("build") / "venv", *what)
