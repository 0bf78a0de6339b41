"""Decide the precision of a detector in its ONNX; the stage is :mod:`convert`."""
