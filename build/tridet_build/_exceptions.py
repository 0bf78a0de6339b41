"""Errors of the build tools.

BuildError
├── ManifestError      a manifest is missing, malformed or contradicts itself
├── GraphError         an ONNX model cannot be given the serving graph
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
