"""The process between a LocalServer and its tritonserver; run as a script, standard library only.

It exists so that nothing is left behind however the owner ends, SIGKILL included: it notices,
stops the server, then removes the server's shared memory and private folder. PR_SET_PDEATHSIG on
the server alone would not do: it fires when the *thread* that started the server ends, does not
reach the stubs, and removes no files.

    _supervisor.py CONTROL_FD LOCK_FD OWNER_PID GRACE_S FOLDER SHM_PREFIX COMMAND...

CONTROL_FD is a socket to the owner. To the owner: "<server's pid>\\n". From it: b"T" stop,
b"K" kill; its end counts as T. LOCK_FD holds the lock that marks FOLDER as in use. The exit status
is the server's, or 128 + the signal that ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
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


def start(command: list[str], libc: ctypes.CDLL) -> int:
    """Fork and run the server in a process group of its own; returns its pid."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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


def supervise(control: socket.socket, server: int, owner: int, grace_s: float, wake: int) -> int:
    """Wait for the server's end, bringing it about when told to or when the owner is gone."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    kill_at: float | None = None
    while True:
        ended = reap()
        if server in ended:
            return ended[server]
        order, asked = b"", False
        wait_s = 1.0 if kill_at is None else max(0.0, min(1.0, kill_at - time.monotonic()))
        for descriptor, _ in poller.poll(wait_s * 1000):
            if descriptor == wake:
                # The numbers of the signals that came; all but SIGCHLD ask for a stop.
                received = set(os.read(wake, 64))
                if received - {signal.SIGCHLD}:
                    asked = True
                continue
            with contextlib.suppress(OSError):
                order = control.recv(1)
            if not order:  # the owner's end is closed, and would be readable for ever
                poller.unregister(control)
                order = b"T"
        # A forked copy of the owner can hold the socket open: look at the owner itself too.
        asked = asked or order == b"T" or os.getppid() != owner
        if order == b"K" or (kill_at is not None and time.monotonic() >= kill_at):
            os.kill(server, signal.SIGKILL)
        elif asked and kill_at is None:
            kill_at = time.monotonic() + grace_s
            os.kill(server, signal.SIGTERM)


def clean(folder: Path, shm_prefix: str, server: int) -> None:
    """Remove the server's shared memory, then its folder, which marks it as not yet removed."""
    # The second is what tridet's Python steps share (build/tridet_build/steps/admission.py).
    for region in [*_SHM.glob(f"{shm_prefix}*"), _SHM / f"tridet-admission-{server}"]:
        region.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the server until it ends or is to end, then leave nothing behind."""
    control_fd, lock_fd, owner = (int(argument) for argument in arguments[:3])
    grace_s, folder, shm_prefix = float(arguments[3]), Path(arguments[4]), arguments[5]
    os.set_inheritable(control_fd, False)
    os.set_inheritable(lock_fd, False)
    libc = ctypes.CDLL(None, use_errno=True)
    # Stubs whose server died become children of this process, which can then wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    with socket.socket(fileno=control_fd) as control:
        server = start(arguments[6:], libc)
        try:
            with contextlib.suppress(OSError):
                control.sendall(f"{server}\n".encode())
            return supervise(control, server, owner, grace_s, wake_read)
        finally:
            os.chdir("/")
            kill_rest(server)
            clean(folder, shm_prefix, server)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
