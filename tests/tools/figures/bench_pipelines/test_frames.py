"""The pictures that are sent."""

from pathlib import Path

import numpy as np
from bench_pipelines.frames import SIZES, frames, read_frames, write_frames


def test_frames_are_written_and_mapped(tmp_path: Path) -> None:
    write_frames(tmp_path)
    for size, (width, height) in SIZES.items():
        pictures = read_frames(tmp_path, size)
        assert {picture.shape for picture in pictures} == {(height, width, 3)}
        assert (pictures[0] != pictures[1]).any()
        np.testing.assert_array_equal(pictures, frames(size))
