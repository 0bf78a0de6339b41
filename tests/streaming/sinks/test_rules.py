"""Rules of ``--alert``, in a simulated clock."""

from __future__ import annotations

import pytest
from stream_results import LABELS, made_up
from tridet import InvalidInput
from tridet.streaming.sinks.rules import Rule, Watch, check_rules, parse_rule


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
