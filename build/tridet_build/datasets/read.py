"""Find out which form a data set has, and read it."""

from __future__ import annotations

from pathlib import Path

from tridet_build.datasets.coco import FILE_NAMES, read_coco
from tridet_build.datasets.dataset import Dataset
from tridet_build.datasets.yolo import read_yolo
from tridet_build.errors import DataError

_BOARDS = ("data", "boards", "data.yaml")
_IN_A_FOLDER = ("data.yaml", *FILE_NAMES)


def read_dataset(path: Path, images: Path | None = None) -> Dataset:
    """Read a data YAML, a COCO file, or a folder that holds one of them.

    Args:
        path: the file or folder.
        images: the folder of a COCO file's images, where it is not found by itself.

    Raises:
        DataError: it is neither; the faults of single images are in the result instead.
    """
    file = path
    if path.is_dir():
        found = [path / name for name in _IN_A_FOLDER if (path / name).is_file()]
        if not found:
            raise DataError(f"{path}: expected {', '.join(_IN_A_FOLDER)} in it, found none")
        file = found[0]
    if not file.is_file():
        drawn = "; `make boards` draws it" if file.parts[-3:] == _BOARDS else ""
        raise DataError(f"no such file: {file}{drawn}")
    if file.suffix == ".json":
        return read_coco(file, images)
    if file.suffix in (".yaml", ".yml"):
        if images:
            raise DataError(f"--images belongs to a COCO file, {file} names its own")
        return read_yolo(file)
    raise DataError(f"{file}: expected a data YAML (.yaml) or a COCO file (.json)")
