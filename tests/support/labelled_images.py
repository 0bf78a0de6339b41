"""Small labelled data sets for tests, in YOLO form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

NAMES = ("c0", "c1", "c2")


def write_picture(path: Path, seed: int, size: tuple[int, int] = (96, 64)) -> None:
    """Write a picture of (width, height) that looks like no other seed's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def write_yolo(
    folder: Path, splits: Mapping[str, Sequence[str | None]], names: Sequence[str] = NAMES
) -> Path:
    """Write a data set and return its YAML.

    Args:
        folder: made if it is missing.
        splits: of each split the text of its images' label files, None for no file.
        names: of the classes.
    """
    seed = 0
    for split, texts in splits.items():
        (folder / "labels" / split).mkdir(parents=True)
        for index, text in enumerate(texts):
            write_picture(folder / "images" / split / f"{split}{index}.png", seed)
            seed += 1
            if text is not None:
                (folder / "labels" / split / f"{split}{index}.txt").write_text(text)
    lines = [f"{split}: images/{split}" for split in splits]
    (folder / "data.yaml").write_text("\n".join([*lines, f"names: {list(names)}", ""]))
    return folder / "data.yaml"
