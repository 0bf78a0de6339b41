"""What went wrong with a server's start, told from its log."""

from __future__ import annotations

import sys

from .errors import (
    InstallationError,
    ModelLoadError,
    NotReadyError,
    PortTakenError,
    ServeError,
    ServerExitedError,
)
from .log import TritonLog, one_line

OPTIONS = {"GRPC": "--grpc-port", "HTTP": "--http-port", "Metrics": "--metrics-port"}


def startup_error(log: TritonLog, ports: tuple[int, int, int], status: int | None) -> ServeError:
    """Why a server ended (status: its exit status), or never will be ready.

    ports are those of gRPC, HTTP and metrics.
    """
    if log.taken is not None:
        option = OPTIONS[log.taken]
        port = dict(zip(OPTIONS, ports, strict=True))[log.taken]
        text = f"port {port} is taken by another process: stop it, or choose another with {option}"
        return PortTakenError(text, option)
    if log.failures or log.waiting:
        return _load_error(log)
    if log.hung is not None:
        return InstallationError(
            f"Triton's Python backend cannot start its stub: {log.hung}; install the package "
            "that holds the library, or pip install --force-reinstall nvidia-pytriton==0.7.0"
        )
    lines = list(log.errors) or [line for line in log.tail if line.strip()]
    last = one_line(lines[-1]) if lines else "no output"
    return ServerExitedError(
        f"tritonserver ended with status {status} before it was ready: {last}; "
        "--verbose shows its whole log"
    )


def timeout_error(log: TritonLog, timeout_s: float) -> NotReadyError:
    """For a server that was not ready after timeout_s."""
    missing = [model for model in log.loading if model not in log.loaded]
    state = f"still loading {', '.join(missing)}" if missing else "no model is loading"
    return NotReadyError(
        f"the server was not ready after {timeout_s:g} s ({state}): "
        "give it longer with --timeout-s, or look at its whole log with --verbose"
    )


def _load_error(log: TritonLog) -> ModelLoadError:
    failures = dict(log.failures)
    for ensemble, step in log.waiting.items():
        if step not in failures:
            failures.setdefault(ensemble, f"its step {step!r} has no loaded version")
    if not failures:
        failures = {name: f"its step {step!r} failed" for name, step in log.waiting.items()}
    texts = [f"model {name!r} failed to load: {reason}" for name, reason in failures.items()]
    return ModelLoadError("; ".join(texts) + _hint(" ".join(texts)), failures)


def _hint(reasons: str) -> str:
    if "unable to find backend library" in reasons:
        return (
            "; the pip tritonserver has the Python backend only: use --model-config-name python, "
            "or serve this configuration in the nvcr.io/nvidia/tritonserver container"
        )
    if "at least one version must be available" in reasons:
        return "; make a version folder in it, such as 1/ (git keeps no empty folder)"
    if "is not healthy" in reasons:
        return "; its process ended while it loaded: look for what it printed in the log"
    if "No module named" in reasons:
        return f"; install it into the environment {sys.prefix}"
    return ""
