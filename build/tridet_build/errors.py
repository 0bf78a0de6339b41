"""Errors of the build tools.

BuildError
├── ManifestError      a manifest is missing, malformed or contradicts itself
├── ExportError        weights cannot be exported to ONNX
├── ImagesError        there are too few real images that can be read
├── DataError          a data set cannot be read, or its labels cannot be used
├── CalibrationError   too few images are asked for, or the cache cannot be written
├── PrecisionError     a variant of another precision cannot be made
├── GateError          a variant cannot be judged, or detects too differently (GateFailedError)
├── OnnxError          a file is missing or no ONNX model
├── GraphError         an ONNX model cannot be given the serving graph
├── PlanError          a plan cannot be compiled
├── PlanFileError      a file is not a plan that this machine can serve
├── RecordError        a build record cannot be read or written
├── CheckError         a repository cannot be checked, or is not what its configs say
└── RepositoryError    the model repository cannot be written

Every message is one line and says what was expected and what was found.
"""

from pathlib import Path
from typing import Final

INSTALL: Final = "pip install 'tridet-build[full]', or `make setup-build` in the repository"
"""How to get the packages that building needs and serving does not."""


class BuildError(Exception):
    """Base of every expected failure of the build tools."""


class ManifestError(BuildError):
    """A ``detector.toml`` is missing, malformed or contradicts itself."""


class OnnxError(BuildError):
    """A file is missing or no ONNX model; ``reason`` is the message without the path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class GraphError(BuildError):
    """An ONNX model cannot be given the serving graph."""


class RepositoryError(BuildError):
    """The model repository cannot be written."""


class ExportError(BuildError):
    """Weights cannot be exported to ONNX."""


class ImagesError(BuildError):
    """There are too few real images to calibrate with, or to judge or verify on."""


class DataError(BuildError):
    """A data set that cannot be read at all, or labels that a figure cannot be made of."""


class CalibrationError(BuildError):
    """Calibration is asked to do with too few images, or its cache cannot be written."""


class PrecisionError(BuildError):
    """A detector cannot be given the precision that was asked for."""


class GateError(BuildError):
    """A variant differs too much from FP32, or that cannot be judged here."""


class PlanError(BuildError):
    """A serving graph cannot be compiled, or what was built is not what was asked."""


class PlanFileError(BuildError):
    """A file is not a plan that Triton can load, or cannot be made one."""


class RecordError(BuildError):
    """A build record is missing, malformed, or cannot be written."""


class CheckError(BuildError):
    """A repository, or a file in it, cannot be checked at all."""


def first_line(error: BaseException) -> str:
    """Return what another library's error says in its first line; its type if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
