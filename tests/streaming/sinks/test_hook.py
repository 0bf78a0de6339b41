"""``--alert``: rules that run actions, which may be slow or fail."""

from __future__ import annotations

import json

import pytest
from stream_results import made_up
from stream_webhook import receiving
from tridet.streaming.sinks.actions import Command, Webhook
from tridet.streaming.sinks.hook import HookSink
from tridet.streaming.sinks.rules import parse_rule

SOON_S = 20


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


def test_a_command_gets_the_alert_on_stdin_and_no_shell(tmp_path):
    target = tmp_path / "alert $HOME;x.json"
    command = f"tee '{target}'"
    sink = HookSink([parse_rule("short")], [Command(command)], pytest.fail)
    sink.write(made_up(4, found=("short",)))
    sink.close()
    assert json.loads(target.read_text())["index"] == 4
