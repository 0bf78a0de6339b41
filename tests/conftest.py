import os
from collections.abc import Iterator

import PIL.Image
import pytest
from hypothesis import settings
from local_triton import LocalServer
from stub_onnx import write_detector
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.render import write

# These machines are shared; a slow moment is no failure. In CI the examples are the same each time,
# so that a submission is judged by its own change; by hand each run looks for others.
settings.register_profile("tridet", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tridet")

_open_image = PIL.Image.open


@pytest.fixture(autouse=True)
def _pillow_as_it_is() -> None:
    """Undo what importing Ultralytics does, which puts a function of its own into Pillow."""
    PIL.Image.open = _open_image


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/build/golden")


@pytest.fixture(scope="session")
def stub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A real tritonserver with the stand-in detectors ``small`` (64 px) and ``large`` (640 px)."""
    root = tmp_path_factory.mktemp("stub server")
    write_detector(root / "small", "[limits]\nmax_pixels = 250000\n[batch]\nopt = 2\nmax = 4\n")
    write_detector(root / "large", "[thresholds]\nconf = 0.05\n", size=640)
    write(load_manifests([root / "small", root / "large"]), root / "repository")
    with LocalServer(root / "repository") as server:
        yield server
