# NVIDIA's Triton with what the Python steps import, OpenCV to resize and decode and Pillow to read
# headers; and with what the check of the repository imports before the server starts.
ARG TRITON_TAG=26.07
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3

RUN pip install --no-cache-dir numpy opencv-python-headless pillow
RUN pip install --no-cache-dir click onnx pydantic rich 'tritonclient[grpc]'
