"""When to raise an alert: a class has been seen, in a zone, for some time. Pure logic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tridet.exceptions import InvalidInput
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.record import to_record

ANY = "any"
"""Stands for all classes."""
DEFAULT_EVERY_S = 60.0
# A detector misses an object in a frame now and then; so long may it be away.
_GAP_S = 0.5
# What a source without frames would have shown for longer than this, nobody knows.
_BLIND_S = 5.0

# Times are sums of steps such as 0.04, which is no exact number.
_ROUNDING_S = 1e-6
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = r"\d+(?:\.\d+)?(?:ms|s|m|h)"
_RULE = re.compile(
    rf"(?P<label>\S.*?)(?:\s+in\s+(?P<zone>\S.*?))?"
    rf"(?:\s+for\s+(?P<held>{_DURATION}))?(?:\s+every\s+(?P<every>{_DURATION}))?"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """True in a source while objects of a class are seen for some time, whichever objects."""

    text: str
    """As it was given."""
    label: str
    """Name of the class, or ``any``."""
    zone: str | None
    """Where; None for the whole frame."""
    held_s: float
    """For how long, before the rule is true."""
    every_s: float
    """At most one alert per source in that time."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule became true, or was true still when its next alert was due."""

    rule: Rule
    since_s: float
    """For how long it has been seen, in seconds."""
    result: StreamResult
    """The frame that raised it."""

    def to_record(self) -> dict[str, Any]:
        """Return plain values that ``json.dumps`` takes: the result's, and ``alert``."""
        rule = self.rule
        what = {
            "rule": rule.text,
            "class": rule.label,
            "zone": rule.zone,
            "since_s": round(self.since_s, 3),
        }
        return {"alert": what, **to_record(self.result)}


def parse_rule(text: str) -> Rule:
    """Read ``CLASS [in ZONE] [for 2s] [every 60s]``; durations in ms, s, m or h.

    Raises:
        InvalidInput: it is not that.
    """
    match = _RULE.fullmatch(text.strip())
    # A keyword inside a name is a clause that could not be read.
    names = [match["label"], match["zone"] or ""] if match else []
    if match is None or any(re.search(r"(^|\s)(in|for|every)(\s|$)", name) for name in names):
        raise InvalidInput(
            f"--alert: expected 'CLASS [in ZONE] [for 2s] [every 60s]', got {text!r}"
        )
    return Rule(
        text.strip(),
        match["label"],
        match["zone"],
        _seconds(match["held"], 0.0),
        _seconds(match["every"], DEFAULT_EVERY_S),
    )


def check_rules(rules: Iterable[Rule], labels: Sequence[str], zones: Sequence[str]) -> None:
    """Refuse what could never become true.

    Raises:
        InvalidInput: the model has no such class, or there is no such zone.
    """
    for rule in rules:
        if rule.label != ANY and rule.label not in labels:
            raise InvalidInput(
                f"--alert: expected a class of {', '.join(labels)} or {ANY}, got {rule.label!r}"
            )
        if rule.zone is not None and rule.zone not in zones:
            known = ", ".join(zones) or "none; add --zone"
            raise InvalidInput(f"--alert: expected a zone of {known}, got {rule.zone!r}")


class Watch:
    """Applies the rules to the results of any number of sources.

    Time is that of the frames, so a file gives the same alerts however fast it is read.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._sources: dict[str, list[_RuleState]] = {}

    def alerts(self, result: StreamResult) -> list[Alert]:
        """Return those that this result raises; results of one source come in order."""
        if result.frame.source not in self._sources:
            self._sources[result.frame.source] = [_RuleState(rule) for rule in self._rules]
        states = self._sources[result.frame.source]
        since = [(state.rule, state.update(result, result.frame.pts_s)) for state in states]
        return [Alert(rule, since_s, result) for rule, since_s in since if since_s is not None]


class _RuleState:
    """What one rule has seen in one source."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._since_s: float | None = None
        self._seen_s = self._frame_s = 0.0
        self._alerted_s: float | None = None

    def update(self, result: StreamResult, now_s: float) -> float | None:
        """Return for how long it has been seen if that raises an alert, else None."""
        blind_s, self._frame_s = now_s - self._frame_s, now_s
        seen = _seen(self.rule, result)
        if blind_s > _BLIND_S or (not seen and now_s - self._seen_s > _GAP_S):
            self._since_s = None
        if not seen:
            return None
        self._seen_s = now_s
        if self._since_s is None:
            self._since_s = now_s
        held_s = now_s - self._since_s
        if held_s < self.rule.held_s - _ROUNDING_S:
            return None
        alerted_s, every_s = self._alerted_s, self.rule.every_s - _ROUNDING_S
        if alerted_s is not None and now_s - alerted_s < every_s:
            return None
        self._alerted_s = now_s
        return held_s


def _seen(rule: Rule, result: StreamResult) -> bool:
    names = result.detections.names if rule.zone is None else result.counts.get(rule.zone, {})
    return bool(names) if rule.label == ANY else rule.label in names


def _seconds(duration: str | None, default: float) -> float:
    if duration is None:
        return default
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", duration).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS_S[unit]
