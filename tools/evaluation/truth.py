"""Bring labels and detections together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tridet_build.datasets.dataset import LabelledImage
from tridet_build.datasets.truth import Truth, truth_of

from .predictions import Prediction


@dataclass(frozen=True, eq=False)
class Pair(Truth):
    """One image: its objects as they are labelled, and what was found."""

    found: Prediction


def pair(image: LabelledImage, found: Prediction, ids: npt.NDArray[np.int32]) -> Pair:
    """Return both in pixels and with the model's class ids.

    Raises:
        DataError: the labels are of an image of another size.
    """
    return Pair(**vars(truth_of(image, found.size, ids)), found=found)
