"""Procedural bare-board images with the six HRIPCB defect classes, for training and for tests."""

from .board import draw_board
from .dataset import BoardsError, SplitPlan, plan_splits, write_dataset, write_samples
from .types import CLASS_NAMES, Board, Defect

__all__ = [
    "CLASS_NAMES",
    "Board",
    "BoardsError",
    "Defect",
    "SplitPlan",
    "draw_board",
    "plan_splits",
    "write_dataset",
    "write_samples",
]
