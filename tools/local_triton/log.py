"""Triton's log, made readable: what to show of it, and what it says went wrong."""

from __future__ import annotations

import json
import re
from collections import deque

# Severity, date, time, process, source, message: as Triton writes with --log-format=default.
_RECORD = re.compile(r"([IWEF])\d{4} [\d:.]+\s+\d+ (\S+):\d+\]\s*(.*)", re.DOTALL)
_NO_GPU = (
    "Unable to allocate pinned system memory",
    "CUDA memory pool disabled",
    "CudaDriverHelper has not been initialized",
    "failed to allocate pinned system memory: no pinned memory pool",
    "unable to create stream for ",
)
_NO_GPU_METRICS = ("Failed to initialize NVML", "DCGM unable to start")
_LOADING = re.compile(r"loading: (.+):\d+$")
_LOADED = re.compile(r"successfully loaded '([^']+)'")
_FAILED = re.compile(
    r"(?:failed to load '(?P<version>[^']+)' version \d+"
    r"|failed to load model '(?P<model>[^']+)'"
    r"|Poll failed for model directory '(?P<folder>[^']+)'): (?P<reason>.*)",
    re.DOTALL,
)
_DEPENDS = re.compile(r"ensemble '([^']+)' depends on '([^']+)' which has no loaded version")
_PORT = re.compile(r"failed to start (GRPC|HTTP|Metrics) service: .* already in use")
_PROTOBUF = re.compile(r"\[libprotobuf ERROR [^\]]*\] Error parsing text-format \S+ (.*)")
# After one of these Triton 2.51 waits for ever for a stub that has ended.
_NO_MODEL_FILE = re.compile(r"Failed to preinitialize Python stub: (.*/([^/]+)/\d+/[^/']+'?.*)")
_NO_STUB = re.compile(
    r"error while loading shared libraries: .*|Failed to run python backend stub.*"
)
_TRACEBACK = re.compile(r"At:$|  \S.*\(\d+\): \S+$")
_LOCATION = re.compile(r"  (\S.*\(\d+\)): \S+$", re.MULTILINE)


class TritonLog:
    """Fed with a server's log line by line; keeps what it says of models, ports and errors.

    Attributes: `failures` (model -> reason in one line), `waiting` (ensembles that only miss a
    failed model), `taken` (the service whose port was taken: GRPC, HTTP or Metrics), `hung` (why
    the start will never end), `loading` and `loaded` (models), `errors` (error lines).
    """

    def __init__(self, *, has_gpu: bool, verbose: bool = False, rename: tuple[str, str] = ("", "")):
        self.failures: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.taken: str | None = None
        self.hung: str | None = None
        self.loading: list[str] = []
        self.loaded: list[str] = []
        self.errors: deque[str] = deque(maxlen=20)
        self.tail: deque[str] = deque(maxlen=200)
        self._has_gpu = has_gpu
        self._verbose = verbose
        self._rename = rename
        self._said_no_gpu = False
        self._after_stub = False
        self._syntax = ""

    def feed(self, line: str) -> list[str]:
        """Take in one line (without its newline); returns the lines to show for it."""
        # Triton sees the repository through a link, whose path would tell the user nothing.
        if self._rename[0]:
            line = line.replace(*self._rename)
        self.tail.append(line)
        record = _RECORD.fullmatch(line)
        shown = self._take_record(*record.groups()) if record else self._take_text(line)
        return [line] if self._verbose else shown

    def _take_record(self, severity: str, source: str, message: str) -> list[str]:
        message = _unquoted(message)
        self._after_stub = source == "pb_stub.cc"
        self._note(message)
        if message.startswith(_NO_GPU):
            return self._no_gpu()
        if message.startswith(_NO_GPU_METRICS):
            return [f"warning: {message}"] if self._has_gpu else []
        if severity == "E" or severity == "F":
            # The backend says what the model's life cycle says again, with the model's name.
            if message.startswith("ERROR: Failed to create instance"):
                return []
            depends = _DEPENDS.search(message)
            if depends and depends[2] in self.failures:
                return [f"error: ensemble {depends[1]!r} needs {depends[2]!r}"]
            self.errors.append(one_line(message))
            return f"error: {message}".rstrip().splitlines()
        if severity == "W":
            return f"warning: {message}".splitlines()
        if loading := _LOADING.search(message):
            return [f"loading {loading[1]}"]
        if loaded := _LOADED.search(message):
            return [f"ready   {loaded[1]}"]
        # What a model logs itself, as opposed to Triton's own C++ files.
        return [] if source.endswith(".cc") else [f"{source}: {message}"]

    def _take_text(self, line: str) -> list[str]:
        self._note(line)
        if any(text in line for text in _NO_GPU_METRICS):
            return []
        if line.startswith(("+-", "| ")) or not line.strip():
            return []
        if self._after_stub and _TRACEBACK.match(line):
            return []  # the error record that follows says it again
        if line.startswith(("Signal (", "error: creating server")):
            return []
        return [line]

    def _note(self, message: str) -> None:
        if loading := _LOADING.search(message):
            self.loading.append(loading[1])
        elif loaded := _LOADED.search(message):
            self.loaded.append(loaded[1])
        elif depends := _DEPENDS.search(message):
            self.waiting.setdefault(depends[1], depends[2])
        elif failed := _FAILED.match(message):
            name = failed["version"] or failed["model"] or failed["folder"]
            reason = f"{failed['reason']} ({self._syntax})" if self._syntax else failed["reason"]
            self.failures.setdefault(name, reason_from_triton(reason))
            self._syntax = ""
        elif port := _PORT.search(message):
            self.taken = port[1]
        elif syntax := _PROTOBUF.match(message):
            self._syntax = f"line {syntax[1]}"
        elif missing := _NO_MODEL_FILE.search(message):
            self.failures.setdefault(missing[2], one_line(missing[1]))
            self.hung = one_line(missing[1])
        elif stub := _NO_STUB.search(message):
            self.hung = one_line(stub[0])

    def _no_gpu(self) -> list[str]:
        if self._said_no_gpu:
            return []
        self._said_no_gpu = True
        if self._has_gpu:
            return ["warning: the GPU cannot be used (driver too old for CUDA 12.6?): CPU only"]
        return ["no GPU found: CPU only"]


def one_line(text: str) -> str:
    """The text with every run of white space, newlines too, as one space."""
    return " ".join(text.split())


def reason_from_triton(reason: str) -> str:
    """Triton's reason in one line: a Python traceback is cut to the place of the error."""
    text, at, places = reason.partition("\nAt:\n")
    place = _LOCATION.search(places) if at else None
    return one_line(text).rstrip(".") + (f" at {place[1]}" if place else "")


def _unquoted(message: str) -> str:
    # Triton 2.51 writes a message as a JSON string, except from some places in the stub.
    if message.startswith('"') and message.endswith('"'):
        try:
            return str(json.loads(message, strict=False))
        except ValueError:
            return message[1:-1]
    return message.strip()
