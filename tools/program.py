"""The beginning and the end of every program in tools/.

To be imported before anything heavy: from then until ``run``, Ctrl-C ends the program at once and
without a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import click

_INTERRUPTED = 130


def _leave(*_: Any) -> NoReturn:
    os._exit(_INTERRUPTED)


def _is_running() -> bool:
    """Whether one of the programs is what runs: a test may only import it."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    return main is not None and Path(main).resolve().is_relative_to(Path(__file__).parent)


# Not where a shell has started it in the background, with SIGINT ignored.
if _is_running() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)


def run(command: click.Command, name: str, *expected: type[Exception]) -> NoReturn:
    """Run ``command`` and end the process, as ``tridet`` does: 130 after Ctrl-C, one line for an
    error that is one of ``expected``.
    """
    from tridet.cli.run import run as run_command

    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command(command, name, expected)
