"""The table in which a server counts frames, read from outside."""

from pathlib import Path

import numpy as np
from local_triton import LocalServer
from tridet_build.steps import admission


def under_way(server: LocalServer) -> int:
    """Count the frames that the server has let in and not counted out."""
    (path,) = Path("/dev/shm").glob(f"tridet-admission-*-{server.pid}-*")
    left = admission._ROWS * admission._RECENT * admission._LEFT_WORDS
    words = np.fromfile(path, np.int64)[admission._ROWS : -left].reshape(admission._FRAME_WORDS, -1)
    tickets, frames = words[:2]
    return int(frames[tickets != 0].sum())
