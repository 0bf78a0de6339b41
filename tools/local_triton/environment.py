"""The environment that tritonserver and its Python models run in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
"""For glibc's malloc: keep the memory of a frame for the next one.

Without it Triton gives the buffer of every tensor back to the system and has its pages made anew
for the next frame, up to a sixth of the CPU time (docs/performance.md).
"""


def server_environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables, ``more`` on top, and what the wheel's server needs.

    ``folder`` holds its libraries: see ``folder.link_parts``.
    """
    environment = {**ALLOCATOR, **os.environ, **more}
    # The stub embeds Python and ignores PYTHONPATH and its like (measured: pybind11 starts an
    # isolated interpreter). Its prefix comes from the first python3 on PATH, by the pyvenv.cfg
    # beside that: so the models get this environment, its .pth files included.
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.prefix) / "bin"), environment.get("PATH", os.defpath)]
    )
    libraries = [str(folder / "libraries"), str(folder / "wheel")]
    if environment.get("LD_LIBRARY_PATH"):
        libraries.append(environment["LD_LIBRARY_PATH"])
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    return environment
