"""Evaluate a detector through the server, against the labels of a data set."""

from .errors import EvaluationError
from .evaluation import PREDICTIONS_NAME, REPORT_NAME, compare, evaluate
from .results import FILE_NAME, Results, read_results
from .run import Request

__all__ = [
    "FILE_NAME",
    "PREDICTIONS_NAME",
    "REPORT_NAME",
    "EvaluationError",
    "Request",
    "Results",
    "compare",
    "evaluate",
    "read_results",
]
