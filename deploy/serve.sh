#!/bin/sh
# In the Triton container: check the repository, then serve it. What does not fit (a plan of another
# TensorRT, a config that lies) is said in words here, before tritonserver says it in its own.
set -eu

runtime=${TRIDET_RUNTIME:-onnxruntime}
PYTHONPATH=/tridet/build:/tridet/client PYTHONDONTWRITEBYTECODE=1 \
	python3 -m tridet_build check /models --runtime "$runtime"
exec tritonserver --model-repository=/models --model-config-name="$runtime" \
	--disable-auto-complete-config "$@"
