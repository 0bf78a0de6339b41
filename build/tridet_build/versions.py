"""Which versions of packages are installed: they decide how an artifact comes out."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

IMAGE_TOOLS: Final = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "pillow",
    "numpy",
)
"""What decodes and scales images; OpenCV comes in several packages."""


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
