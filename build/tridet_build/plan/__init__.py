"""Compile serving graphs with TensorRT, and read what was built; the stage is :mod:`compile`."""
