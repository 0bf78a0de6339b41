"""Build tools: manifest, ONNX, serving graph, Triton model repository.

Data flows in that order, and a stage imports only earlier ones.
"""
