# NVIDIA's Triton of the release that serves, with tridet's build tools: its TensorRT is the server's.
ARG TRITON_TAG=26.11
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

# An environment of its own, since the build tools' versions are not the container's.
RUN pip install --no-cache-dir virtualenv && virtualenv --system-site-packages /opt/tridet
COPY pyproject.toml README.md LICENSE /opt/tridet/source/
COPY build /opt/tridet/source/build
COPY client /opt/tridet/source/client
RUN /opt/tridet/bin/pip install --no-cache-dir /opt/tridet/source/client '/opt/tridet/source/build[full]'
# Ultralytics brings opencv-python, which needs libGL; the headless one puts its files in their place.
RUN /opt/tridet/bin/pip install --no-cache-dir --force-reinstall --no-deps opencv-python-headless

# TensorRT's Python package, in the version of the library that serves, unless the image has it.
RUN PATH=/opt/tridet/bin:$PATH; python -c 'import tensorrt' 2>/dev/null \
    || pip install --no-cache-dir "tensorrt==$(python -c \
        'from tridet_build.plan.machine import tensorrt_version; print(tensorrt_version())')"
