"""What TensorRT says while it builds: progress, errors; and what it is told: Ctrl-C.

The classes derive from TensorRT's own, which is imported late; so functions make them.
"""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

Interrupted = Callable[[], bool]

# Phases inside these come and go by the hundred.
_DEEPEST_BAR = 2


class Report:
    """Shows the phases of a build: bars on a terminal, a plain line for each main phase elsewhere.

    TensorRT names a phase, the phase around it, and how many steps it has.
    """

    def __init__(self, title: str, console: Console | None) -> None:
        self._title = title
        self._console = console
        self._depth: dict[str, int] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars: Progress | None = None
        self._lock = threading.Lock()  # phases may come from several threads
        if console is not None and console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                console=console,
                transient=True,
            )

    def __enter__(self) -> "Report":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` steps begins inside ``parent``."""
        with self._lock:
            depth = self._depth.get(parent, 0) + 1 if parent else 0
            self._depth[phase] = depth
            if self._bars and depth <= _DEEPEST_BAR:
                text = "  " * depth + (phase if depth else f"{self._title}: {phase}")
                self._tasks[phase] = self._bars.add_task(text, total=steps)
            elif self._console and not self._bars and depth <= 1:
                self._console.print(f"{self._title}: {phase}", highlight=False, markup=False)

    def step(self, phase: str, step: int) -> None:
        """Step number ``step``, counted from 0, of a phase is done."""
        with self._lock:
            if self._bars and phase in self._tasks:
                self._bars.update(self._tasks[phase], completed=step + 1)

    def finish(self, phase: str) -> None:
        """A phase ends."""
        with self._lock:
            if self._bars and phase in self._tasks:
                self._bars.remove_task(self._tasks.pop(phase))


def monitor(trt: Any, report: Report, interrupted: Interrupted) -> Any:
    """Make a ``trt.IProgressMonitor`` that reports, and stops the build once interrupted."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        # An exception must not leave these: TensorRT calls them from C++.
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            report.start(phase, parent, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            report.step(phase, step)
            return not interrupted()

        def phase_finish(self, phase: str) -> None:
            report.finish(phase)

    return Monitor()


def recorder(trt: Any) -> Any:
    """Make a ``trt.IErrorRecorder`` whose ``errors`` are the texts of what went wrong."""

    class Recorder(trt.IErrorRecorder):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)
            self.codes: list[Any] = []
            self.errors: list[str] = []

        def clear(self) -> None:
            self.codes.clear()
            self.errors.clear()

        def num_errors(self) -> int:
            return len(self.errors)

        def get_error_code(self, index: int) -> Any:
            return self.codes[index]

        def get_error_desc(self, index: int) -> str:
            return self.errors[index]

        def has_overflowed(self) -> bool:
            return False

        def report_error(self, code: Any, description: str) -> bool:
            self.codes.append(code)
            self.errors.append(description)
            return True

    return Recorder()


@contextmanager
def interruptible() -> Iterator[Interrupted]:
    """Turn Ctrl-C into a flag for as long as C++ code runs, then into KeyboardInterrupt.

    Raised inside one of TensorRT's callbacks it would end the process. The flag is read from a
    pipe that Python's signal handler writes into at once, even while the main thread is in C++.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    pressed = False

    def interrupted() -> bool:
        nonlocal pressed
        with suppress(BlockingIOError):
            pressed = pressed or signal.SIGINT in os.read(reader, 4096)
        return pressed

    handler = signal.signal(signal.SIGINT, lambda *_: None)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield interrupted
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGINT, handler)
        was_pressed = interrupted()
        os.close(reader)
        os.close(writer)
        if was_pressed:
            raise KeyboardInterrupt


def explained(errors: list[str]) -> str:
    """Make one line of TensorRT's errors: the first, without its place in NVIDIA's source."""
    if not errors:
        return "TensorRT gives no reason; --verbose shows its log"
    first = re.sub(r"^\s*(\[[^\]]*\]\s*)?(\w+::\w+:\s*)?(Error Code \d+:\s*)?", "", errors[0])
    line = re.sub(r"\bIn \S+ at [^\s:]+:\d+", "", first)
    # The place stood in brackets, alone or with more.
    line = re.sub(r"\(\s*\)|(?<=\()\s+|\s+(?=\))", "", line)
    line = re.sub(r"\s+", " ", re.sub(r"\(\(([^()]*)\)\)", r"(\1)", line)).strip()
    joined = " ".join(errors).lower()
    if "workspace" in joined or "could not find any implementation" in joined:
        line += " (often too small a workspace: raise or drop the limit)"
    elif "out of memory" in joined or "outofmemory" in joined or "could not be allocated" in joined:
        line += " (the GPU's memory is full: free it, or lower batch max or the workspace limit)"
    return line
