"""Sources of the server's Python steps; ``tridet_build.repository.render`` copies them.

The ``*_model.py`` files are Triton adapters and import only inside a Triton Python backend; the
maths stands beside them in modules that import anywhere.
"""
