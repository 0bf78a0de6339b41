"""Open the sinks that the options of ``tridet stream`` ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from tridet.exceptions import InvalidInput
from tridet.extras import require
from tridet.streaming.pacing import Pacer
from tridet.streaming.sinks.actions import Action, Command, Webhook
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.sinks.hook import HookSink
from tridet.streaming.sinks.jsonl import jsonl_sink
from tridet.streaming.sinks.mp4 import Mp4Sink, mp4_targets
from tridet.streaming.sinks.picture import Draw, SharedDraw
from tridet.streaming.sinks.publish import LONGEST_PAUSE_S, PublishSink, publish_targets
from tridet.streaming.sinks.rules import Rule, check_rules, parse_rule
from tridet.streaming.sources import Source, expanded
from tridet.streaming.stats import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where the results are to go; see the options of these names."""

    save: Path | None
    jsonl: str | None
    show: bool
    web: str | None
    publish: str | None
    alerts: tuple[str, ...]
    webhook: str | None
    command: str | None


@dataclass(frozen=True, slots=True)
class Context:
    """What the sinks are about, and whom they call."""

    sources: Sequence[Source]
    labels: Sequence[str]
    """The names of all classes."""
    zones: Sequence[str]
    """The names of all zones."""
    draw: Draw
    """Makes the picture of a result."""
    snapshots: Callable[[], list[Snapshot]]
    """Gives the numbers of all sources."""
    stop: Callable[[], None]
    """Ends the run."""
    warn: Callable[[str], None]
    """Shows a line to the user; in any thread."""


@dataclass(slots=True)
class Opened:
    """The sinks of a run, not yet started."""

    sinks: list[SinkThread] = field(default_factory=list)
    announcements: list[str] = field(default_factory=list)
    """What the user has to know, such as an address."""


def check_installed(outputs: Outputs) -> None:
    """Refuse outputs whose packages are missing, before anything is opened.

    Raises:
        MissingExtra: one is not installed.
    """
    if outputs.web is not None:
        require("stream", "aiohttp")
    if outputs.save or outputs.show or outputs.publish or outputs.web is not None:
        require("stream", "supervision")  # draws


def open_outputs(outputs: Outputs, context: Context) -> Opened:
    """Return the sinks; those that empty a file come last, when all else has been accepted.

    Raises:
        UsageError, InvalidInput: one is not acceptable.
        OSError: one cannot be written.
    """
    rules = _rules(outputs, context)
    opened = Opened()
    draw = SharedDraw(context.draw)
    if outputs.web is not None:
        from tridet.streaming.web import WebSink

        web = WebSink(outputs.web, context.snapshots, draw)
        opened.sinks.append(SinkThread(web))
        opened.announcements.append(web.announcement)
    if outputs.show:
        from tridet.streaming.sinks.show import ShowSink

        names = [source.name for source in context.sources]
        opened.sinks.append(SinkThread(ShowSink(names, draw, context.stop)))
    if rules:
        opened.sinks.append(SinkThread(_hook(outputs, rules, context)))
    if outputs.publish is not None:
        urls = publish_targets(
            expanded(outputs.publish), [source.name for source in context.sources]
        )
        for source in context.sources:
            pacer = None if source.live else Pacer(LONGEST_PAUSE_S)
            sink = PublishSink(urls[source.name], draw, warn=context.warn, pacer=pacer)
            opened.sinks.append(SinkThread(sink, sources=[source.name]))
    if outputs.save is not None:
        targets = mp4_targets(outputs.save, {one.name: one.location for one in context.sources})
        for name, path in targets.items():
            opened.sinks.append(SinkThread(Mp4Sink(path, draw), sources=[name]))
    if outputs.jsonl is not None:
        refuse_source("--jsonl", Path(outputs.jsonl), context.sources)
        opened.sinks.append(SinkThread(jsonl_sink(outputs.jsonl)))
    return opened


def refuse_source(option: str, path: Path, sources: Iterable[Source]) -> None:
    """Refuse an output that would empty what is to be read.

    Raises:
        InvalidInput: ``path`` is one of the sources.
    """
    for source in sources:
        place = Path(source.location)
        if source.is_file and path.exists() and place.exists() and path.samefile(place):
            raise InvalidInput(f"{option}: {path} is a source itself; choose another name")


def _rules(outputs: Outputs, context: Context) -> list[Rule]:
    actions = [
        name for name, value in (("webhook", outputs.webhook), ("exec", outputs.command)) if value
    ]
    if outputs.alerts and not actions:
        raise click.UsageError("--alert: expected --webhook or --exec beside it, got neither")
    if actions and not outputs.alerts:
        raise click.UsageError(f"--{actions[0]}: expected --alert beside it, got none")
    rules = [parse_rule(text) for text in outputs.alerts]
    check_rules(rules, context.labels, context.zones)
    return rules


def _hook(outputs: Outputs, rules: list[Rule], context: Context) -> HookSink:
    actions: list[Action] = []
    if outputs.webhook is not None:
        actions.append(Webhook(expanded(outputs.webhook, "--webhook")))
    if outputs.command is not None:
        actions.append(Command(outputs.command))
    return HookSink(rules, actions, context.warn)
