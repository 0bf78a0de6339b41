"""The Triton model repository: rendered, written and checked."""
