"""Put the parts of a run together, for the library and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tridet.async_detector import AsyncDetector
from tridet.exceptions import InvalidInput
from tridet.streaming.analysis import Analysis
from tridet.streaming.capture import Capture
from tridet.streaming.frame_queue import FrameQueue
from tridet.streaming.limits import Limits
from tridet.streaming.outbox import Outbox
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.sinks.base import SinkThread
from tridet.streaming.sources import (
    Policy,
    RtspTransport,
    Source,
    parse_source,
    with_unique_names,
)
from tridet.streaming.stats import SourceStats
from tridet.streaming.zones import parse_line, parse_zone

Location: TypeAlias = "str | int | os.PathLike[str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How the sources of a run are read and driven, and what is made of their detections.

    ``tridet.stream`` tells what each one means.
    """

    policy: Policy | None = None
    max_fps: float | None = None
    rtsp_transport: RtspTransport | None = None
    track: bool = False
    zones: Sequence[str] = ()
    """As ``parse_zone`` takes them."""
    lines: Sequence[str] = ()
    """As ``parse_line`` takes them."""
    limits: Limits = field(default_factory=Limits)


def sources_from(locations: Iterable[Location], options: StreamOptions) -> list[Source]:
    """Return the sources, their names unique.

    Raises:
        InvalidInput: there is none, or one is not acceptable.
    """
    sources = [
        parse_source(
            os.fspath(location) if isinstance(location, os.PathLike) else location,
            policy=options.policy,
            max_fps=options.max_fps,
            rtsp_transport=options.rtsp_transport,
        )
        for location in locations
    ]
    if not sources:
        raise InvalidInput("stream: expected one source or more, got none")
    return with_unique_names(sources)


def analysis_from(options: StreamOptions, sources: Iterable[Source] = ()) -> Analysis:
    """Return what tracks and counts; ``sources`` may bring zones and lines of their own.

    Raises:
        InvalidInput: a zone or line is not acceptable.
        MissingExtra: what tracking needs is not installed.
    """
    own = {source.name: source.areas for source in sources}
    zones, lines = map(parse_zone, options.zones), map(parse_line, options.lines)
    return Analysis(options.track, zones, lines, own)


def pipeline_of(
    sources: Sequence[Source],
    detector: AsyncDetector,
    limits: Limits,
    sinks: Sequence[SinkThread | Outbox],
    analysis: Analysis,
    *,
    on_end: Callable[[], None] = lambda: None,
) -> Pipeline:
    """Return the run, not yet started; see ``Pipeline``."""
    captures = [_capture(source) for source in sources]
    # Each frame goes to a thread for it, which costs more than nothing.
    analyse = None if analysis.idle else analysis.update
    return Pipeline(detector, captures, limits, sinks, analyse=analyse, on_end=on_end)


def _capture(source: Source) -> Capture:
    stats = SourceStats(source.name)
    return Capture(source, FrameQueue(source.policy, stats), stats)
