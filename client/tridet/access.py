"""The key to what a server keeps from strangers: models to load, shared memory, traces, the log.

A server with a key (Triton's restricted protocols) answers those calls to whoever sends it; all
else is open. A local server leaves its key in a file that only its user can read, named by its gRPC
port, so that this user's clients on the same machine find it; for any other server the environment
variable ``TRIDET_KEY`` has it. A detector needs it for shared memory alone, and does without where
it has none.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

KEY_VARIABLE = "TRIDET_KEY"
GRPC_HEADER = "triton-grpc-protocol-tridet"
HTTP_HEADER = "tridet"
RESTRICTED = "model-repository,shared-memory,trace,logging"
"""The groups of calls that the key opens, as Triton's options name them."""


def key_file(port: int) -> Path:
    """Return where a server of this user with that gRPC port leaves its key."""
    base = os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache"
    return Path(base) / "tridet" / f"{port}.key"


def metadata_of(target: str, *, local: bool) -> tuple[tuple[str, str], ...]:
    """Return what goes with each call to ``host:port``: the key, where there is one.

    Args:
        target: gRPC's target.
        local: whether it can only be this machine: to another one no local server's key is sent.
    """
    key = os.environ.get(KEY_VARIABLE) or (_key_left(target) if local else None)
    return ((GRPC_HEADER, key),) if key else ()


def _key_left(target: str) -> str | None:
    port = target.rpartition(":")[2]
    try:
        file = os.open(key_file(int(port)), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: this user has no home
        return None
    try:
        found = os.fstat(file)
        private = stat.S_ISREG(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        if found.st_uid != os.geteuid() or not private:
            return None
        key = os.read(file, 256).decode("ascii", "replace").strip()
    finally:
        os.close(file)
    return key if key.isalnum() else None
