# NVIDIA's Triton with what the Python steps import: OpenCV to resize and decode, Pillow to read headers.
ARG TRITON_TAG=26.06
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3

RUN pip install --no-cache-dir numpy opencv-python-headless pillow
