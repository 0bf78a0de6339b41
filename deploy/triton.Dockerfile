# NVIDIA's Triton with what the Python steps import (OpenCV to resize and decode, Pillow to read
# headers, ONNX Runtime for the runtime `python`) and what the check of the repository imports before
# the server starts.
ARG TRITON_TAG=26.11
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3

COPY requirements.txt /tridet/
RUN pip install --no-cache-dir -r /tridet/requirements.txt

# NVIDIA's image has this user and runs as root.
USER triton-server
