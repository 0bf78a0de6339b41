"""Data sets of detection in YOLO or COCO form, read into one form together with their faults."""

from ._types import DataError, Dataset, Fault, LabelledImage, Split
from .read import read_dataset

__all__ = ["DataError", "Dataset", "Fault", "LabelledImage", "Split", "read_dataset"]
