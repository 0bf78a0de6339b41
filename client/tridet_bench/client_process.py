"""A process that sends requests, as the process that asks it sees it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

_STOP_TIMEOUT_S = 3.0


class ClientProcess:
    """Runs ``serve(pipe, *arguments)``, which answers what it receives until the pipe closes."""

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        # Spawned, not forked: gRPC does not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, question: Any) -> None:
        """Send a question; raises OSError if the process has ended."""
        self._pipe.send(question)

    def answer(self) -> Any:
        """Wait for the answer; raises EOFError or OSError if the process has ended."""
        return self._pipe.recv()

    def dismiss(self, *, at_once: bool = False) -> None:
        """Let the process end: after what it is doing, or at once."""
        self._pipe.close()
        if at_once:
            self._process.terminate()

    def join(self) -> None:
        """Wait until a dismissed process has ended; kill it if it does not."""
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
