#!/bin/sh
# In the Triton container: check the repository, then serve it. What does not fit (a plan of another
# TensorRT, a config that lies) is said in words here, before tritonserver says it in its own.
set -eu

runtime=${TRIDET_RUNTIME:-onnxruntime}
PYTHONPATH=/tridet/build:/tridet/client PYTHONDONTWRITEBYTECODE=1 \
	python3 -m tridet_build check /models --runtime "$runtime"
# What manages the server (models, shared memory, traces, the log) is for whoever has the key.
key=${TRIDET_KEY:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}
managed=model-repository,shared-memory,trace,logging
shm=tridet_steps_
server=$(command -v tritonserver)
# Clients' shared memory is off since Triton 26.05 unless asked for, and the option new; the key guards it.
if "$server" --help 2>&1 | grep -q -e --allow-client-shm; then
	set -- --allow-client-shm=true "$@"
fi
# Started again when it dies, or when the process of one of its Python steps does.
exec python3 /tridet/supervisor.py --container "${TRIDET_GRACE_S:-30}" "$shm" \
	"$server" --model-repository=/models --model-config-name="$runtime" \
	--disable-auto-complete-config --exit-timeout-secs=20 \
	--grpc-restricted-protocol="$managed:tridet=$key" --http-restricted-api="$managed:tridet=$key" \
	--backend-config=python,shm-region-prefix-name="$shm" "$@"
