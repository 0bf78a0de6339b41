"""Write results as JSON lines."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.base import Sink, SinkDone
from tridet.streaming.sinks.record import to_record

STDOUT = "-"


def jsonl_sink(destination: str) -> Sink:
    """Return a sink that writes an object a line, at once: nothing is lost in a run cut off.

    Args:
        destination: a path, overwritten now, or ``-`` for stdout. A device, a pipe or a link is
            written through.

    Raises:
        OSError: the file cannot be written.
    """
    return _StdoutSink() if _is_stdout(destination) else _FileSink(Path(destination))


def _is_stdout(destination: str) -> bool:
    if destination == STDOUT:
        return True
    try:
        # Under another name, /dev/stdout for instance: opened anew, a log that our output is added
        # to would be emptied.
        return os.path.samestat(Path(destination).stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # ValueError: a stdout that is no file
        return False


class _FileSink:
    def __init__(self, path: Path) -> None:
        self.name = f"--jsonl {path}"
        self._file = path.open("wb", buffering=0)
        self._size = 0  # of the complete lines, in bytes

    def write(self, result: StreamResult) -> None:
        line = _line(result).encode()
        try:
            written = 0
            while written < len(line):  # a disk that fills up takes a part
                written += self._file.write(line[written:])
        except BrokenPipeError:
            raise SinkDone from None
        except OSError:
            with suppress(OSError):  # a pipe or a device has no end to cut
                self._file.truncate(self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        self._file.close()


class _StdoutSink:
    name = f"--jsonl {STDOUT}"

    def write(self, result: StreamResult) -> None:
        try:
            sys.stdout.write(_line(result))
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone. Python would complain once more when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SinkDone from None

    def close(self) -> None:
        """Leave stdout open: it is not ours."""


def _line(result: StreamResult) -> str:
    return json.dumps(to_record(result)) + "\n"
