"""``--alert``: rules in a simulated clock, a real HTTP server, real commands."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stream_results import LABELS, made_up
from tridet import InvalidInput, SinkFailed
from tridet.streaming.sinks.actions import Command, Webhook
from tridet.streaming.sinks.hook import HookSink
from tridet.streaming.sinks.rules import Rule, Watch, check_rules, parse_rule

SOON_S = 20


def alert_times(rule: str, seen: list[bool], *, fps: float = 10) -> list[float]:
    """When the rule raises alerts, if a short is in the gate in these frames."""
    watch = Watch([parse_rule(rule)])
    return [
        index / fps
        for index, is_seen in enumerate(seen)
        if watch.alerts(
            made_up(
                index,
                pts_s=index / fps,
                found=("short",) if is_seen else ("spur",),
                counts={"gate": {"short": 2} if is_seen else {"spur": 1}},
            )
        )
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("short in gate for 2s every 60s", ("short", "gate", 2.0, 60.0)),
        ("  mouse bite  in  back door for 500ms every 1h ", ("mouse bite", "back door", 0.5, 3600)),
        ("any", ("any", None, 0.0, 60.0)),
        ("spur for 1.5m", ("spur", None, 90.0, 60.0)),
        ("pin in gate every 5s", ("pin", "gate", 0.0, 5.0)),
        ("forklift in inner", ("forklift", "inner", 0.0, 60.0)),
    ],
)
def test_rules_are_read(text, rule):
    assert parse_rule(text) == Rule(text.strip(), *rule)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "for 2s",
        "in gate",
        "short in",
        "short for 2",
        "short for -2s",
        "short for 2d",
        "short for ever",
        "short every 2s for 2s",
        "short in gate for 2 s",
        "short in gate in door",
    ],
)
def test_rules_that_are_refused(text):
    with pytest.raises(InvalidInput, match=r"^--alert: expected 'CLASS \[in ZONE\].*, got "):
        parse_rule(text)


def test_rules_that_could_never_become_true():
    check_rules([parse_rule("short in gate"), parse_rule("any")], LABELS, ["gate"])
    with pytest.raises(InvalidInput, match="expected a class of short, spur or any, got 'shrot'"):
        check_rules([parse_rule("shrot in gate")], LABELS, ["gate"])
    with pytest.raises(InvalidInput, match="expected a zone of none; add --zone, got 'gate'"):
        check_rules([parse_rule("short in gate")], LABELS, [])


def test_held_for_some_time():
    assert alert_times("short in gate for 2s", [True] * 50) == [2.0]
    assert alert_times("short in gate for 2s", [True] * 20) == []
    assert alert_times("short in gate", [False] * 7 + [True] * 9) == [0.7]
    assert alert_times("spur in gate for 1s", [True] * 50) == []
    assert alert_times("any in gate for 1s", [True, False] * 10) == [1.0]
    assert alert_times("short for 1s", [True] * 20) == [1.0]


def test_a_frame_that_misses_it_does_not_begin_anew_but_an_absence_does():
    assert alert_times("short for 2s", ([True] * 4 + [False] * 4) * 4) == [2.4]
    assert alert_times("short for 2s", [True] * 15 + [False] * 6 + [True] * 30) == [4.1]


def test_at_most_one_alert_in_a_time_and_source():
    assert alert_times("short for 1s every 3s", [True] * 80) == [1.0, 4.0, 7.0]
    blinking = ([True] * 5 + [False] * 10) * 6
    assert alert_times("short every 2s", blinking) == [0.0, 3.0, 6.0]
    watch = Watch([parse_rule("short"), parse_rule("any every 1s")])
    raised = [
        (alert.result.frame.source, alert.rule.label)
        for index in range(5)
        for source in "ab"
        for alert in watch.alerts(made_up(index, source=source, found=("short",)))
    ]
    assert raised == [("a", "short"), ("a", "any"), ("b", "short"), ("b", "any")]


def test_slow_sources_count_too_but_not_the_time_without_any_frame():
    assert alert_times("short for 6s", [True] * 9, fps=0.5) == [6.0]  # a frame every two seconds
    assert alert_times("short for 6s", [True] * 9, fps=0.1) == []


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; answers with ``status``, once it is let."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.posts: list[tuple[str, dict, dict]] = []
        self.go = threading.Event()
        self.go.set()
        self.arrived = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}/services/T0/s3cret?x=1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), json.loads(content)))
        self.server.arrived.release()
        self.server.go.wait(SOON_S)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()


def test_a_webhook_gets_the_alert_and_what_raised_it():
    with receiving() as server:
        sink = HookSink([parse_rule("short in gate for 80ms")], [Webhook(server.url)], pytest.fail)
        for index in range(10):
            sink.write(made_up(index, found=("short",), counts={"gate": {"short": 1}}))
        sink.close()
    ((path, headers, post),) = server.posts
    assert path == "/services/T0/s3cret?x=1"
    assert headers["Content-Type"] == "application/json"
    assert post["alert"] == {
        "rule": "short in gate for 80ms",
        "class": "short",
        "zone": "gate",
        "since_s": 0.08,
    }
    assert (post["source"], post["index"], post["counts"]) == ("cam", 2, {"gate": {"short": 1}})
    assert [found["name"] for found in post["detections"]] == ["short"]
    assert (sink.raised, sink.failures) == (1, 0)


def test_a_login_becomes_basic_authentication_and_nothing_secret_is_shown():
    with receiving() as server:
        hook = Webhook(server.url.replace("//", "//me:p%40ss@"))
        hook.run(b"{}")
    assert server.posts[0][1]["Authorization"] == "Basic bWU6cEBzcw=="
    assert hook.name == f"--webhook http://127.0.0.1:{server.server_port}/..."


def test_a_slow_webhook_delays_no_rule_and_what_is_too_much_is_counted():
    warnings: list[str] = []
    with receiving() as server:
        server.go.clear()
        sink = HookSink([parse_rule("any every 1ms")], [Webhook(server.url)], warnings.append)
        sink.write(made_up(0, found=("short",)))
        assert server.arrived.acquire(timeout=SOON_S)  # it is busy with the first now
        for index in range(1, 30):
            sink.write(made_up(index, found=("short",)))
        assert sink.raised == 30
        assert sink.failures == 13  # 16 wait
        server.go.set()
        sink.close()
    assert [post["index"] for _, _, post in server.posts] == list(range(17))
    assert warnings == [f"{Webhook(server.url).name}: too slow, alerts are lost"]


def test_failures_are_counted_and_told_once():
    warnings: list[str] = []
    with receiving() as server:
        server.status = 503
        sink = HookSink([parse_rule("any every 1ms")], [Webhook(server.url)], warnings.append)
        for index in range(3):
            sink.write(made_up(index, found=("short",)))
        sink.close()
    assert sink.failures == 3
    assert warnings == [f"{Webhook(server.url).name}: expected status 2xx, got 503"]


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


def test_a_command_gets_the_alert_on_stdin_and_no_shell(tmp_path):
    target = tmp_path / "alert $HOME;x.json"
    command = f"tee '{target}'"
    sink = HookSink([parse_rule("short")], [Command(command)], pytest.fail)
    sink.write(made_up(4, found=("short",)))
    sink.close()
    assert json.loads(target.read_text())["index"] == 4


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
