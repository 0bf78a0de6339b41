"""Make an environment of what ``pack.py`` packed and what the Python that runs this has already.

    python3 tools/figures/gpu_bench/install.py site.tar.xz FOLDER

Needs nothing but the standard library and no package registry.
"""

from __future__ import annotations

import sys
import tarfile
import venv
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def install(archive: Path, target: Path) -> None:
    """Make the environment in ``target``; the packed packages win over those of this Python."""
    venv.create(target, with_pip=False)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = target / "lib" / version / "site-packages"
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    for part in (target / "site-packages").iterdir():
        part.rename(site / part.name)
    theirs = [path for path in sys.path if path.endswith("-packages")]
    sources = [str(_ROOT / folder) for folder in ("client", "build", "tools")]
    modules = str(target / "libpython" / "lib-dynload")
    lines = [*sources, *(f"import site; site.addsitedir({path!r})" for path in theirs), modules]
    (site / "gpu_bench.pth").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
