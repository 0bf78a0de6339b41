"""The benchmark's one expected failure."""


class BenchError(Exception):
    """The benchmark cannot run or a pipeline failed; the text is one line."""
