"""Put the parts of a run together, for the library and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

from tridet.exceptions import InvalidInput
from tridet.streaming.analysis import Analysis
from tridet.streaming.capture import Capture
from tridet.streaming.engine import Feed, Limits, Outlet
from tridet.streaming.frame_queue import Mailbox
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.sources import Source, parse_source, with_unique_names
from tridet.streaming.stats import SourceStats
from tridet.streaming.zones import parse_line, parse_zone

Location: TypeAlias = "str | int | os.PathLike[str]"


def sources_from(locations: Iterable[Location], **options: Any) -> list[Source]:
    """Return the sources, their names unique; ``options`` are those of ``parse_source``.

    Raises:
        InvalidInput: there is none, one is not acceptable, or PyAV is not installed.
    """
    if find_spec("av") is None:
        raise InvalidInput(
            "stream: expected the package av, found none; pip install 'tridet[stream]'"
        )
    sources = [
        parse_source(
            os.fspath(location) if isinstance(location, os.PathLike) else location, **options
        )
        for location in locations
    ]
    if not sources:
        raise InvalidInput("stream: expected one source or more, got none")
    return with_unique_names(sources)


def analysis_from(
    track: bool, zones: Iterable[str], lines: Iterable[str], sources: Iterable[Source] = ()
) -> Analysis:
    """Return what tracks and counts, from texts as ``parse_zone`` and ``parse_line`` take them.

    ``sources`` may bring zones and lines of their own.

    Raises:
        InvalidInput: one of them is not acceptable, or the tracking library is missing.
    """
    own = {source.name: source.areas for source in sources}
    return Analysis(track, map(parse_zone, zones), map(parse_line, lines), own)


def pipeline_of(
    sources: Sequence[Source],
    detector: Any,
    limits: Limits,
    outlets: Sequence[Outlet],
    analysis: Analysis,
    *,
    on_end: Callable[[], None] = lambda: None,
) -> Pipeline:
    """Return the run, not yet started; see ``Pipeline``."""
    feeds = [_feed(source) for source in sources]
    # Each frame goes to a thread for it, which costs more than nothing.
    analyse = None if analysis.idle else analysis.update
    return Pipeline(detector, feeds, limits, outlets, analyse=analyse, on_end=on_end)


def _feed(source: Source) -> Feed:
    stats = SourceStats(source.name)
    mailbox = Mailbox(source.policy, stats)
    capture = Capture(source, mailbox, stats)
    return Feed(source.name, source.policy == "latest", capture, mailbox, stats)
