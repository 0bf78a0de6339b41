"""Errors of the build tools.

BuildError
├── ManifestError      a manifest is missing, malformed or contradicts itself
├── ExportError        weights cannot be exported to ONNX
├── CalibrationError   there are no images to calibrate with
├── PrecisionError     a variant of another precision cannot be made
├── GateError          a variant cannot be judged, or detects too differently (GateFailedError)
├── GraphError         an ONNX model cannot be given the serving graph
├── PlanError          a plan cannot be compiled
├── PlanFileError      a file is not a plan that this machine can serve
├── RecordError        a build record cannot be read or written
├── CheckError         a repository cannot be checked, or is not what its configs say
└── RepositoryError    the model repository cannot be written

Every message is one line and says what was expected and what was found.
"""


class BuildError(Exception):
    """Base of every expected failure of the build tools."""


class ManifestError(BuildError):
    """A ``detector.toml`` is missing, malformed or contradicts itself."""


class GraphError(BuildError):
    """An ONNX model cannot be given the serving graph."""


class RepositoryError(BuildError):
    """The model repository cannot be written."""


class ExportError(BuildError):
    """Weights cannot be exported to ONNX."""


class CalibrationError(BuildError):
    """There are too few usable calibration images, or what is cached cannot be read or written."""


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
