"""LocalServer: a tritonserver process with an owner, from start to nothing left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import numpy as np
from tridet.access import HTTP_HEADER, RESTRICTED, key_file
from tridet.files import atomic_text

from .checks import Wheel, check_machine, check_numpy_use, check_port, check_repository, free_ports
from .environment import server_environment
from .errors import ModelLoadError, PortTakenError, ServeError, ServerExitedError
from .failures import OPTIONS, startup_error, timeout_error
from .folder import (
    link_parts,
    make_folder,
    remove_leftovers,
    shm_bytes_per_instance,
    shm_prefix,
    token_of,
)
from .log import TritonLog, one_line, reason_from_triton

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_ATTEMPTS = 5
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class LocalServer:
    """The pip wheel's tritonserver on a model repository, as a context manager.

        with LocalServer("model_repository") as server:
            client = tritonclient.grpc.InferenceServerClient(server.grpc_url)

    Entering starts the server and returns when it and all its models are ready; leaving stops it.
    The server ends with this process, however that ends, and leaves no process, no shared memory
    and no temporary file. One thread owns a LocalServer; its properties may be read from any.

    Args:
        repository: folder of models.
        host: address to listen on, for all three ports.
        grpc_port, http_port, metrics_port: 0 for a free one.
        model_config_name: serve each model by its configs/NAME.pbtxt where it has one, else by its
            config.pbtxt. None: always the latter.
        models: load only these, and what their ensembles need. Empty: all.
        explicit: whether `load` and `unload` work, as they do where `models` is given.
        timeout_s: how long the server may take to become ready.
        grace_s: how long it may take to stop, before it is killed.
        log: called with each line of the log, from a thread; without it the log is not shown. What
            a model prints comes when its buffer is full, unless it prints with flush=True.
        shm_bytes: shared memory that each model instance starts with. None: by what is free.
        verbose: give `log` all that Triton writes, instead of what matters.
        keep_up: start the server again when it dies, or the process of a step does; `wait` goes on.
        options: further options for tritonserver, such as "--log-verbose=1".
        environment: variables for the server and its models, on top of this process's own.
    """

    def __init__(
        self,
        repository: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        model_config_name: str | None = "python",
        models: Sequence[str] = (),
        explicit: bool = False,
        timeout_s: float = 120.0,
        grace_s: float = 10.0,
        log: Callable[[str], None] | None = None,
        verbose: bool = False,
        shm_bytes: int | None = None,
        keep_up: bool = False,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.repository = Path(repository)
        self.host = host
        self.model_config_name = model_config_name
        self._asked_ports = (grpc_port, http_port, metrics_port)
        self._ports = self._asked_ports
        self._chosen = tuple(models)
        # Where it is started again, all are those that are there then.
        self._load = self._chosen or (("*",) if explicit else ())
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._show = log
        self._verbose = verbose
        self._shm_bytes = shm_bytes
        self._keep_up = keep_up
        self._options = tuple(options)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None
        self._control: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._log = TritonLog(has_gpu=False)
        self._log_error: Exception | None = None
        self._pid: int | None = None
        self._said = b""
        self._key = secrets.token_hex(16)
        self._owner = os.getpid()
        self._server_id = ""

    # What it is

    @property
    def grpc_url(self) -> str:
        """host:port, as tritonclient takes it."""
        return f"{self._client_host}:{self._ports[0]}"

    @property
    def http_url(self) -> str:
        """The address of the HTTP API."""
        return f"http://{self._client_host}:{self._ports[1]}"

    @property
    def metrics_url(self) -> str:
        """The address of the Prometheus metrics."""
        return f"http://{self._client_host}:{self._ports[2]}/metrics"

    @property
    def pid(self) -> int:
        """The process id of tritonserver itself; another after each start where it is kept up.

        Raises ServeError before the start.
        """
        self._note_pids()
        if self._pid is None:
            raise ServeError("the server has not been started: call start() first")
        return self._pid

    @property
    def key(self) -> str:
        """What opens the calls that manage the server; see ``tridet.access``."""
        return self._key

    @property
    def running(self) -> bool:
        """Whether the server process is there."""
        return self._process is not None and self._process.poll() is None

    def models(self) -> dict[str, str]:
        """The models in the repository and their state, such as {"nms": "READY"}.

        Raises ServerExitedError when the server does not answer.
        """
        answer = self._http("POST", "/v2/repository/index")
        if answer is None:
            raise ServerExitedError(f"no answer from {self.http_url}: start the server again")
        return {row["name"]: row.get("state", "not loaded") for row in json.loads(answer)}

    def load(self, model: str) -> None:
        """Load a model, or what has changed of it; until it is ready the old one serves.

        Raises ModelLoadError when it cannot be loaded, ServerExitedError when nobody answers.
        """
        self._manage(model, "load")

    def unload(self, model: str) -> None:
        """Unload a model when it has answered what it was asked; none if it is not loaded.

        Raises ModelLoadError when the server refuses, ServerExitedError when nobody answers.
        """
        self._manage(model, "unload")

    def log_tail(self) -> list[str]:
        """The last lines that the server wrote, unabridged (200 at most)."""
        return list(self._log.tail)

    # Start and end

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it is ready.

        Raises a ServeError with the fix in its text; the server is then stopped.
        """
        if self.running:
            raise ServeError("the server is running already: stop() it first")
        wheel, libpython = check_machine()
        check_repository(self.repository, self._chosen, self.model_config_name)
        check_numpy_use(np.__version__, self.repository)
        remove_leftovers()
        for attempt in range(_ATTEMPTS):
            self._choose_ports()
            try:
                self._launch(wheel, libpython)
                self._wait_ready()
                self._leave_key()
                if self._keep_up and self._control is not None:
                    self._control.sendall(b"U")
                return
            except PortTakenError as error:
                self.kill()
                chosen = dict(zip(OPTIONS.values(), self._asked_ports, strict=True))
                # A port that was free when it was chosen, and went while the models loaded.
                if chosen[error.option] != 0 or attempt == _ATTEMPTS - 1:
                    raise
            except BaseException:
                self.kill()
                raise

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the server's end: its exit status, or None when timeout_s went by first.

        Raises what `log` raised, if it did.
        """
        if self._process is None:
            raise ServeError("the server has not been started: call start() first")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        if self._process.returncode is not None:
            self._finish()
        self._raise_log_error()
        return self._process.returncode

    def stop(self) -> None:
        """Stop the server: SIGTERM, and SIGKILL after grace_s. Does nothing when it has ended."""
        self._end(b"T", self._grace_s + 15)

    def kill(self) -> None:
        """End the server at once."""
        self._end(b"K", 15)

    # How

    @property
    def _client_host(self) -> str:
        return _ANY_ADDRESS.get(self.host, self.host)

    def _choose_ports(self) -> None:
        for option, port in zip(OPTIONS.values(), self._asked_ports, strict=True):
            if port:
                check_port(option, self.host, port)
        free = iter(free_ports(self.host, self._asked_ports.count(0)))
        grpc, http_, metrics = (port or next(free) for port in self._asked_ports)
        self._ports = (grpc, http_, metrics)

    def _launch(self, wheel: Wheel, libpython: Path) -> None:
        folder, lock = make_folder()
        try:
            link_parts(folder, wheel, libpython, self.repository)
            token = token_of(folder)
            self._server_id = f"tridet-{token}"
            self._log = TritonLog(
                has_gpu=Path("/dev/nvidiactl").exists(),
                verbose=self._verbose,
                rename=(str(folder / "repository"), str(self.repository)),
            )
            ours, theirs = socket.socketpair()
            with theirs:
                self._control = ours
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", str(_SUPERVISOR)),
                        *(str(theirs.fileno()), str(lock), str(os.getpid()), str(self._grace_s)),
                        *(str(folder), shm_prefix(token)),
                        *(str(wheel.binary), *self._arguments(folder, token)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=server_environment(folder, self._environment),
                    # The stub puts its working folder first on sys.path: let it be one of ours.
                    cwd=folder,
                    pass_fds=(theirs.fileno(), lock),
                    # A Ctrl-C in the terminal is for the owner, who then stops the server.
                    start_new_session=True,
                    text=True,
                    errors="replace",
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(lock)
        assert self._process.stdout is not None
        self._owner = os.getpid()
        self._reader = threading.Thread(
            target=self._read_log, args=(self._process.stdout, self._log), daemon=True
        )
        self._reader.start()
        self._note_pids(0)  # waits for the first

    def _note_pids(self, flags: int = socket.MSG_DONTWAIT) -> None:
        """Take in the process ids that the supervisor has told, one a line."""
        if self._control is None:
            return
        with contextlib.suppress(OSError):
            while said := self._control.recv(64, flags):
                flags = socket.MSG_DONTWAIT
                self._said += said
        *lines, self._said = self._said.split(b"\n")
        if lines:
            self._pid = int(lines[-1])

    def _arguments(self, folder: Path, token: str) -> list[str]:
        grpc, http_, metrics = self._ports
        shm_bytes = self._shm_bytes or shm_bytes_per_instance(shutil.disk_usage("/dev/shm").free)
        arguments = [
            f"--id={self._server_id}",
            f"--model-repository={folder / 'repository'}",
            f"--backend-directory={folder / 'backends'}",
            "--disable-auto-complete-config",
            f"--grpc-address={self.host}",
            f"--grpc-port={grpc}",
            f"--http-address={self.host}",
            f"--http-port={http_}",
            f"--metrics-address={self.host}",
            f"--metrics-port={metrics}",
            # Triton polls once a second, so a clean stop takes it 1 to 3 s; with a model whose
            # process has died it takes all of this.
            f"--exit-timeout-secs={max(1, int(self._grace_s / 2))}",
            f"--grpc-restricted-protocol={RESTRICTED}:tridet={self._key}",
            f"--http-restricted-api={RESTRICTED}:{HTTP_HEADER}={self._key}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix(token)}",
            f"--backend-config=python,shm-default-byte-size={shm_bytes}",
        ]
        if self.model_config_name:
            arguments.append(f"--model-config-name={self.model_config_name}")
        if self._load:
            arguments.append("--model-control-mode=explicit")
            arguments += [f"--load-model={model}" for model in self._load]
        return [*arguments, *self._options]

    def _read_log(self, stream: IO[str], log: TritonLog) -> None:
        with stream:
            for line in stream:
                for shown in log.feed(line.rstrip("\n")):
                    if self._show is not None and self._log_error is None:
                        try:
                            self._show(shown)
                        except Exception as error:
                            # Keep reading: a full pipe would stop the server.
                            self._log_error = error

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not self._is_ready():
            if not self.running:
                status = self.wait()
                raise startup_error(self._log, self._ports, status)
            if self._log.hung is not None:
                raise startup_error(self._log, self._ports, None)
            if time.monotonic() > deadline:
                raise timeout_error(self._log, self._timeout_s)
            time.sleep(0.05)
        self._raise_log_error()

    def _leave_key(self) -> None:
        """Let this user's clients find the key; where it cannot be left they do without."""
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: this user has no home
            path = key_file(self._ports[0])
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_text(path) as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(self._key)

    def _is_ready(self) -> bool:
        # Triton logs that it listens before it does, and another server may answer on a port that
        # was lost to it: so ask, the metrics first, which start last, then who it is that answers.
        if self._http("GET", "/metrics", port=self._ports[2]) is None:
            return False
        if f'"{self._server_id}"' not in (self._http("GET", "/v2") or ""):
            return False
        return self._http("GET", "/v2/health/ready") is not None

    def _manage(self, model: str, action: str) -> None:
        path = f"/v2/repository/models/{quote(model, safe='')}/{action}"
        try:
            status, body = self._ask("POST", path, self._ports[1], self._timeout_s)
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} s"
        except (OSError, http.client.HTTPException):
            raise ServerExitedError(f"no answer from {self.http_url}: start it again") from None
        else:
            if status == 200:
                return
            try:
                reason = reason_from_triton(str(json.loads(body)["error"]))
            except (ValueError, KeyError, TypeError):
                reason = one_line(body) or f"status {status}"
        raise ModelLoadError(f"model {model!r} failed to {action}: {reason}", {model: reason})

    def _http(self, method: str, path: str, port: int | None = None) -> str | None:
        try:
            status, body = self._ask(method, path, port or self._ports[1], 5)
        except (OSError, http.client.HTTPException):
            return None
        return body if status == 200 else None

    def _ask(self, method: str, path: str, port: int, timeout_s: float) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self._client_host, port, timeout=timeout_s)
        try:
            connection.request(method, path, headers={HTTP_HEADER: self._key})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def _end(self, order: bytes, timeout_s: float) -> None:
        # A fork of the owner holds a copy of this object, and the server is not its to stop.
        if self._process is None or self._owner != os.getpid():
            return
        if self._process.poll() is None and self._control is not None:
            with contextlib.suppress(OSError):
                self._control.sendall(order)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                # The supervisor itself is stuck; the server dies with it (PR_SET_PDEATHSIG).
                self._process.kill()
                self._process.wait()
        self._finish()

    def _finish(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
            with contextlib.suppress(OSError, RuntimeError):
                path = key_file(self._ports[0])
                if path.read_text() == self._key:
                    path.unlink()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(5)
            self._reader = None

    def _raise_log_error(self) -> None:
        if self._log_error is not None:
            error, self._log_error = self._log_error, None
            raise error
