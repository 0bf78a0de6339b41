"""Ctrl-C while a command begins and ends: exit status 130, and no traceback. And no log of gRPC.

To be imported before anything heavy. In a program that uses the library it does nothing.
"""

from __future__ import annotations

import os
import signal
import sys

_INTERRUPTED = 130


def _leave(*_: object) -> None:
    os._exit(_INTERRUPTED)


def _is_command() -> bool:
    program = sys.argv[0]
    if program == "-m":  # Python looks for the module still: sys.argv is not what it will be
        return bool({"tridet", "tridet_build"} & set(sys.orig_argv))
    names = program.removesuffix("/__main__.py").rsplit("/", 1)
    return names[-1] in ("tridet", "tridet-build", "tridet_build")


_COMMAND = bool(getattr(sys, "argv", None)) and _is_command()


def leave_at_once() -> None:
    """From now on Ctrl-C ends the command; not where a shell has it ignored in the background."""
    if _COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt, as ever."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _COMMAND:
    # gRPC reads it while it is imported. Its own log would mix with our messages, when a server
    # says goodbye or answers TLS with plain text.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    leave_at_once()
