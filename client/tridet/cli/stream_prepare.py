"""From the options of ``tridet stream`` to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from tridet.async_detector import AsyncDetector
from tridet.cli.options import ServerOptions
from tridet.cli.stream_display import Display
from tridet.cli.stream_run import Run, StatsFile
from tridet.cli.stream_sinks import Context, Outputs, check_installed, open_outputs, refuse_source
from tridet.detector import Detector
from tridet.streaming.assembly import StreamOptions, analysis_from, pipeline_of, sources_from
from tridet.streaming.config import load_config
from tridet.streaming.limits import Limits
from tridet.streaming.sources import Source, with_unique_names
from tridet.streaming.zones import parse_zone

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asks ``tridet stream`` for."""

    server: ServerOptions
    locations: Sequence[str]
    config: Path | None
    options: StreamOptions
    """Those of reading apply to the locations alone, not to what the config file holds."""
    detector: dict[str, Any]
    """The arguments of ``Detector`` besides those that the server gives."""
    outputs: Outputs
    stats: Path | None
    quiet: bool


def request_from(server: ServerOptions, options: dict[str, Any]) -> Request:
    """Return the request.

    Args:
        server: where the detector is.
        options: the others, by the names of their arguments.

    Raises:
        InvalidInput: a limit makes no sense.
    """
    left = dict(options)
    locations, config = left.pop("locations"), left.pop("config")
    stats, quiet = left.pop("stats"), left.pop("quiet")
    limits = _taken(Limits, left, timeout_s=server.timeout_s)
    return Request(
        server=server,
        locations=locations,
        config=config,
        options=_taken(StreamOptions, left, limits=limits),
        outputs=_taken(Outputs, left),
        detector=left,
        stats=stats,
        quiet=quiet,
    )


def prepare(request: Request) -> Run:
    """Return the run, nothing of it started.

    Raises:
        UsageError, TridetError, OSError: an option is not acceptable, or the server cannot be used.
    """
    check_installed(request.outputs)
    options, server = request.options, request.server
    sources = _sources(request)
    analysis = analysis_from(options, sources)
    settings = {"timeout_s": server.timeout_s, "tls": server.tls, **request.detector}
    # Before an output is opened, which empties files: with no server there is nothing to write.
    with Detector(server.url, **settings) as asked:
        labels = asked.connect().labels
    display = Display(request.quiet)
    context = Context(
        sources,
        labels,
        [
            *(parse_zone(text).name for text in options.zones),
            *(zone.name for source in sources for zone in source.areas.zones),
        ],
        analysis.draw,
        snapshots=lambda: pipeline.snapshots(),  # made below, of these
        stop=lambda: pipeline.stop(),
        warn=display.warning,
    )
    if request.stats is not None:
        refuse_source("--stats", request.stats, sources)
    opened = open_outputs(request.outputs, context)
    stats_file = None if request.stats is None else StatsFile(request.stats)
    for line in opened.announcements:
        display.note(line)
    detector = AsyncDetector(server.url, retries=0, **settings)
    pipeline = pipeline_of(sources, detector, options.limits, opened.sinks, analysis)
    return Run(sources, pipeline, opened, stats_file, display)


def _sources(request: Request) -> Sequence[Source]:
    options, config = request.options, request.config
    if not request.locations:
        if config is None:
            raise click.UsageError("expected a SOURCE or --config, got neither")
        for name in ("policy", "max_fps", "rtsp_transport"):
            if getattr(options, name) is not None:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} is for SOURCEs: set {name} in {config}")
    configured = [] if config is None else load_config(config)
    named = sources_from(request.locations, options) if request.locations else []
    return with_unique_names([*configured, *named])


def _taken(kind: type[T], options: dict[str, Any], **given: Any) -> T:
    """Move the fields of a dataclass, but those that are given, out of the options."""
    names = [one.name for one in fields(kind) if one.name not in given]  # type: ignore[arg-type]
    return kind(**given, **{name: options.pop(name) for name in names})
