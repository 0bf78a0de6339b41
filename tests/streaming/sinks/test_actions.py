"""Webhooks to a real HTTP server, and real commands."""

from __future__ import annotations

import os
import sys
import time

import pytest
from stream_webhook import receiving
from tridet import InvalidInput, SinkFailed
from tridet.streaming.sinks.actions import Command, Webhook

SOON_S = 20


def test_a_login_becomes_basic_authentication_and_nothing_secret_is_shown():
    with receiving() as server:
        hook = Webhook(server.url.replace("//", "//me:p%40ss@"))
        hook.run(b"{}")
    assert server.posts[0][1]["Authorization"] == "Basic bWU6cEBzcw=="
    assert hook.name == f"--webhook http://127.0.0.1:{server.server_port}/..."


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_secret_nowhere(status):
    with receiving() as server, receiving() as other:
        server.status, server.location = status, other.url
        hook = Webhook(server.url.replace("//", "//me:p%40ss@"))
        with pytest.raises(SinkFailed, match=rf"^expected status 2xx, got {status}, a redirect"):
            hook.run(b"{}")
        assert len(server.posts) == 1
        assert not other.posts


def test_a_webhook_that_is_not_there():
    with receiving() as server:
        url = server.url
    with pytest.raises(SinkFailed, match=r"^Connection refused$"):
        Webhook(url).run(b"{}")


def test_a_webhook_that_never_answers():
    with receiving() as server:
        server.go.clear()
        with pytest.raises(SinkFailed, match="timed out"):
            Webhook(server.url, timeout_s=0.2).run(b"{}")


@pytest.mark.parametrize("url", ["ftp://s3cret@host", "s3cret", "http://", "http://h:s3cret/x"])
def test_webhooks_that_are_refused(url):
    with pytest.raises(InvalidInput, match=r"^--webhook: expected http") as refused:
        Webhook(url)
    assert "s3cret" not in str(refused.value)


def python(code: str) -> str:
    return f'"{sys.executable}" -c "{code}"'


def test_a_command_that_fails_says_its_last_line():
    code = "import sys; sys.exit('first\\nno such room')"
    with pytest.raises(SinkFailed, match=r"^expected exit status 0, got 1: no such room$"):
        Command(python(code)).run(b"{}")


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path):
    child = tmp_path / "child"
    script = tmp_path / "hang.sh"
    script.write_text(f"sleep 600 & echo $! > {child}; wait\n")
    with pytest.raises(SinkFailed, match=r"^expected an end within 1 s$"):
        Command(f"sh '{script}'", timeout_s=1.0).run(b"{}")
    pid = int(child.read_text())
    until_s = time.monotonic() + SOON_S
    while _runs(pid):
        assert time.monotonic() < until_s, "the child goes on"
        time.sleep(0.05)


def test_a_command_may_leave_something_running_behind(tmp_path):
    child = tmp_path / "child"
    script = tmp_path / "daemon.sh"
    script.write_text(f"sleep 600 & echo $! > {child}\n")
    Command(f"sh '{script}'").run(b"{}")
    os.kill(int(child.read_text()), 9)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "expected a command, got none"),
        ("echo 'open", 'expected a command, got "echo \'open": No closing quotation'),
        ("no-such-program --x", "expected a program that can be run, got 'no-such-program'"),
    ],
)
def test_commands_that_are_refused(command, message):
    with pytest.raises(InvalidInput) as refused:
        Command(command)
    assert str(refused.value) == f"--exec: {message}"


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 -- not a file on a disk
            return stat.read().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
