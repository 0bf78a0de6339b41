"""Serve a model repository on this machine with the real tritonserver: no Docker, no GPU needed.

    python tools/serve.py [--repository model_repository] [--grpc-port 8001] ...

The server is the one in the PyPI wheel nvidia-pytriton, run by `local_triton.LocalServer`.
"""

from __future__ import annotations

import program

import ipaddress
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click
from local_triton import LocalServer, RepositoryUpdates, ServeError, ServerExitedError

_REPOSITORY = Path(__file__).resolve().parents[1] / "model_repository"
_DEFAULT_GRPC_PORT = 8001
_LOOK_S = 1.0
"""Between two looks at the repository."""


class _StopRequest(BaseException):
    """A signal asked for a stop; no Exception, as KeyboardInterrupt, so nothing swallows it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _on_signal(number: int, _: FrameType | None) -> None:
    raise _StopRequest("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=_REPOSITORY,
    show_default="model_repository",
    help="Folder of models to serve.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    default=_DEFAULT_GRPC_PORT,
    help="Port for gRPC; 0 for a free one.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=8000,
    help="Port for HTTP; 0 for a free one.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=8002,
    help="Port for Prometheus metrics; 0 for a free one.",
)
@click.option(
    "--model-config-name",
    default="python",
    metavar="NAME",
    help="Serve each model by its configs/NAME.pbtxt where it has one.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Load only this model and what it needs; repeatable. Default: all.",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    help="Seconds until the server has to be ready.",
)
@click.option("--verbose", is_flag=True, help="Show Triton's whole log.")
def main(
    repository: Path,
    host: str,
    grpc_port: int,
    http_port: int,
    metrics_port: int,
    model_config_name: str,
    models: tuple[str, ...],
    timeout_s: float,
    verbose: bool,
) -> None:
    """Serve a model repository with the tritonserver of the nvidia-pytriton wheel, until Ctrl-C.

    What changes in the repository meanwhile is taken in.
    """
    server = LocalServer(
        _relative(repository),
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        model_config_name=model_config_name or None,
        models=models,
        explicit=True,
        timeout_s=timeout_s,
        log=_say if verbose else _say_indented,
        verbose=verbose,
        keep_up=True,
    )
    updates = RepositoryUpdates(server, _say, models)
    # Set here because a shell starts a background job with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    try:
        status = _serve(server, updates)
    except BrokenPipeError:
        server.stop()  # whoever read the log is gone, as in `serve.py | head`
        raise
    except _StopRequest as request:
        status = _kill(server, request.name)
    sys.exit(status)


def _serve(server: LocalServer, updates: RepositoryUpdates) -> int:
    """Serve until the server ends or is to end; the exit status. Raises ServeError."""
    try:
        began = time.monotonic()
        _say(f"starting tritonserver on {server.repository}")
        server.start()
        if not _is_loopback(server.host):
            click.echo(_open_to_others(server), err=True)
        _say(_welcome(server, time.monotonic() - began))
        while (status := server.wait(_LOOK_S)) is None:
            updates.look()
        raise ServerExitedError(
            f"tritonserver ended by itself with status {status}: start it again, with --verbose to "
            "see its whole log"
        )
    except _StopRequest as request:
        return _stop(server, request.name)


def _stop(server: LocalServer, reason: str) -> int:
    try:
        _say(f"{reason}: stopping (once more to kill)")
        server.stop()
    except _StopRequest as request:
        return _kill(server, request.name)
    # 0, because this is how serving is meant to end.
    _say(f"stopped because of {reason}, exit status 0")
    return 0


def _kill(server: LocalServer, reason: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    server.kill()
    _say(f"{reason}: killed, exit status 130")
    return 130


def _welcome(server: LocalServer, startup_s: float) -> str:
    models = sorted(name for name, state in server.models().items() if state == "READY")
    detectors = [name for name in models if f"{name}_detector" in models]
    options = f" --model {detectors[0]}" if detectors else ""
    url = (
        "" if server.grpc_url == f"127.0.0.1:{_DEFAULT_GRPC_PORT}" else f" --url {server.grpc_url}"
    )
    return "\n".join(
        [
            f"ready after {startup_s:.1f} s",
            f"  gRPC     {server.grpc_url}",
            f"  HTTP     {server.http_url}",
            f"  metrics  {server.metrics_url}",
            f"  models   {', '.join(models)}",
            "try next, in another terminal:",
            f"  tridet detect IMAGE{url}{options}",
            f"  tridet status{url}",
            "Ctrl-C stops the server",
        ]
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _open_to_others(server: LocalServer) -> str:
    ports = ", ".join(
        url.removesuffix("/metrics").rpartition(":")[2]
        for url in (server.grpc_url, server.http_url, server.metrics_url)
    )
    return (
        f"WARNING: --host {server.host} opens ports {ports} to everybody who can reach this "
        "machine: without a password, unencrypted, they may use every model and read the metrics. "
        "Only managing the server (models, shared memory, traces, log) needs its key. This Triton, "
        "2.51, lacks the security fixes of 2025 and 2026: trust the network, or serve in the "
        "container behind a TLS proxy (docs/production.md)"
    )


def _relative(path: Path) -> Path:
    """The path as short as it can be said from the working folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(line: str) -> None:
    # In one piece: the log is said by another thread.
    print(f"{line}\n", end="", flush=True)


def _say_indented(line: str) -> None:
    _say(f"  {line}")


if __name__ == "__main__":
    program.run(main, "serve", ServeError)
