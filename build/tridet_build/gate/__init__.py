"""Prove that a variant detects what FP32 detects; the stage is :mod:`judge`."""
