"""From a thread into an event loop: every hand-over between the two goes through here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


def call_in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Have the loop call ``callback`` soon; may be called in any thread."""
    # A loop that has been closed: nobody waits there any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


def wake(waiting: asyncio.Future[None]) -> None:
    """Let whoever waits for the future go on; may be called in any thread, and again."""

    def resolve() -> None:
        if not waiting.done():  # it is when the waiting was cancelled
            waiting.set_result(None)

    call_in_loop(waiting.get_loop(), resolve)
