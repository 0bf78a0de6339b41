"""Ctrl-C and SIGTERM: the first asks for a clean end, the second does not ask."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

_SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """While the block runs, signals are noted instead of raised, so that none is ever lost.

    A thread that holds a lock when ``KeyboardInterrupt`` strikes may leave anything half done.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal's number."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # Not sys.exit, which waits for threads that may hang. The table has hidden the cursor.
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR.encode())
            os._exit(128 + number)
        self.received = number
