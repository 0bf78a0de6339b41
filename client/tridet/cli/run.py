"""Run a command line: errors that can be expected become one line and a non-zero exit."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, NoReturn

import click

from tridet import ctrl_c
from tridet.cli.printable import printable

_INTERRUPTED = 130


def run(
    cli: click.Command,
    name: str,
    expected: type[Exception] | tuple[type[Exception], ...],
    **settings: Any,
) -> NoReturn:
    """Run ``cli`` and end the process.

    Args:
        cli: what to run.
        name: of the program, in front of its errors.
        expected: the errors that it raises on purpose.
        **settings: of ``click.Command.main``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The bytes of a file name that is no UTF-8 are no reason to end.
            stream.reconfigure(errors="backslashreplace")
    try:
        ctrl_c.raise_again()
        code = cli.main(prog_name=name, standalone_mode=False, **settings)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else name
        # A missing choice comes with a line for each that there is.
        message = " ".join(error.format_message().split())
        code = _fail(name, f"{message} (see {path} --help)", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except expected as error:
        code = _fail(name, str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        code = _fail(name, f"{place}{error.strerror or error}")
    ctrl_c.leave_at_once()
    sys.exit(code)


def _fail(name: str, message: str, code: int = 1) -> int:
    click.echo(f"{name}: error: {printable(message)}", err=True)
    return code
