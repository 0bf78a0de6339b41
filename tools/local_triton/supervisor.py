"""What keeps a tritonserver up, and leaves nothing of it behind; standard library only.

    supervisor.py CONTROL_FD LOCK_FD OWNER_PID GRACE_S FOLDER SHM_PREFIX COMMAND...
    supervisor.py --container GRACE_S SHM_PREFIX COMMAND...

Between a LocalServer and its tritonserver it notices when the owner ends, SIGKILL included, stops
the server, then removes the server's shared memory and private folder. PR_SET_PDEATHSIG on the
server alone would not do: it fires when the *thread* that started the server ends, does not reach
the stubs, and removes no files. CONTROL_FD is a socket to the owner. To the owner: "<server's
pid>\\n", at each start. From it: b"U" keep it up from now on, b"T" stop, b"K" kill; its end counts
as T. LOCK_FD holds the lock that marks FOLDER as in use.

In a container it is the first process: it keeps the server up from the start, and SIGTERM stops it.

Kept up, the server is started again when it dies, and when the process of one of its Python steps
has died: Triton (2.51) never replaces that, and goes on saying that it is ready. The exit status is
the server's, or 128 + the signal that ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SHM = Path("/dev/shm")
_LOOK_S = 0.5
"""Between two looks for dead steps; one that is dead in two of them stays dead."""
_SHORT_LIFE_S = 20.0
_MOST_SHORT_LIVES = 3


def start(command: list[str], libc: ctypes.CDLL) -> int:
    """Fork and run the server in a process group of its own; returns its pid."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.umask(0o077)  # the shared memory of the steps is nobody else's
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() == supervisor:  # else it died before prctl could see it
            os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def reap() -> dict[int, int]:
    """Collect every child that has ended: pid -> exit status (128 + signal where one ended it)."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            code = os.waitstatus_to_exitcode(status)
            ended[pid] = code if code >= 0 else 128 - code
    return ended


def kill_rest(group: int) -> None:
    """SIGKILL what the server left: its process group, and whatever this process inherited."""
    deadline = time.monotonic() + 5
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def dead_steps(server: int) -> set[int]:
    """The children of the server that have ended and that it has not asked about.

    When it unloads a model it does so at once.
    """
    dead = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold anything.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == server and state == "Z":
                dead.add(int(stat.parent.name))
    return dead


class Supervisor:
    """Runs the command until it ends or is to end, again and again where it is kept up."""

    def __init__(
        self,
        command: list[str],
        grace_s: float,
        shm_prefix: str,
        control: socket.socket | None,
        owner: int | None,
    ) -> None:
        self._command = command
        self._grace_s = grace_s
        self._shm_prefix = shm_prefix
        self._control = control
        self._owner = owner
        self._keep_up = control is None
        self._stopping = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        # Stubs whose server died become children of this process, which can then wait for them.
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def run(self) -> int:
        """Return the exit status when it is all over; nothing of the server is left then."""
        short_lives = 0
        while True:
            started_s = time.monotonic()
            server = start(self._command, self._libc)
            try:
                if self._control is not None:
                    with contextlib.suppress(OSError):
                        self._control.sendall(f"{server}\n".encode())
                status, reason = self._watch(server)
            finally:
                kill_rest(server)
                self._remove_shared_memory(server)
            if self._stopping or not self._keep_up:
                return status
            short_lives = short_lives + 1 if time.monotonic() - started_s < _SHORT_LIFE_S else 0
            if short_lives == _MOST_SHORT_LIVES:
                say(f"{reason}, {short_lives} times within {_SHORT_LIFE_S:g} s of a start: give up")
                return status
            say(f"{reason}: starting it again")

    def _remove_shared_memory(self, server: int) -> None:
        # The second is what tridet's Python steps share (build/tridet_build/steps/admission.py).
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        for prefix in (self._shm_prefix, f"tridet-admission-{namespace}-{server}-"):
            for region in _SHM.glob(f"{glob.escape(prefix)}*"):
                with contextlib.suppress(OSError):  # another user's
                    region.unlink()

    def _watch(self, server: int) -> tuple[int, str]:
        """Wait for the server's end, bringing it about where need be: its status, and why."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._control is not None:
            poller.register(self._control, select.POLLIN)
        kill_at: float | None = None
        look_at, suspects = time.monotonic(), set[int]()
        reason = "tritonserver has died"
        while True:
            ended = reap()
            if server in ended:
                return ended[server], reason
            if self._keep_up and not self._stopping and time.monotonic() >= look_at:
                dead = dead_steps(server)
                if dead & suspects:
                    reason = "the process of a Python step has died"
                    os.kill(server, signal.SIGKILL)
                look_at, suspects = time.monotonic() + _LOOK_S, dead
            wait_s = _LOOK_S if kill_at is None else min(_LOOK_S, kill_at - time.monotonic())
            order, asked = self._orders(poller, max(0.0, wait_s))
            if order == b"U":
                self._keep_up = True
            if order == b"K" or (kill_at is not None and time.monotonic() >= kill_at):
                self._stopping = True
                os.kill(server, signal.SIGKILL)
            elif (asked or order == b"T") and kill_at is None:
                self._stopping = True
                kill_at = time.monotonic() + self._grace_s
                os.kill(server, signal.SIGTERM)

    def _orders(self, poller: select.poll, wait_s: float) -> tuple[bytes, bool]:
        """What the owner said, and whether a signal or its end asks for a stop."""
        order, asked = b"", False
        for descriptor, _ in poller.poll(wait_s * 1000):
            if descriptor == self._wake:
                # The numbers of the signals that came; all but SIGCHLD ask for a stop.
                asked = bool(set(os.read(self._wake, 64)) - {signal.SIGCHLD})
            elif self._control is not None:
                with contextlib.suppress(OSError):
                    order = self._control.recv(1)
                if not order:  # the owner's end is closed, and would be readable for ever
                    poller.unregister(self._control)
                    order = b"T"
        # A forked copy of the owner can hold the socket open: look at the owner itself too.
        return order, asked or (self._owner is not None and os.getppid() != self._owner)


def say(line: str) -> None:
    """Put a line into the server's log."""
    os.write(1, f"{line}\n".encode())


def main(arguments: list[str]) -> int:
    """Run the server until it is to end, then leave nothing behind."""
    if arguments[0] == "--container":
        return Supervisor(arguments[3:], float(arguments[1]), arguments[2], None, None).run()
    control_fd, lock_fd, owner = (int(argument) for argument in arguments[:3])
    grace_s, folder, shm_prefix = float(arguments[3]), Path(arguments[4]), arguments[5]
    os.set_inheritable(control_fd, False)
    os.set_inheritable(lock_fd, False)
    with socket.socket(fileno=control_fd) as control:
        try:
            return Supervisor(arguments[6:], grace_s, shm_prefix, control, owner).run()
        finally:
            os.chdir("/")
            # Last, because it marks the rest as not yet removed.
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
