"""What a pipeline around a fast detector sustains on a GPU; run by ``tools/figures/gpu_bench.py``.

The detector is a stand-in: PyTorch in a Python backend, where production has a TensorRT plan. All
around it is the product, as tridet_build renders it.
"""
