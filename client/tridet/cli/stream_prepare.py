"""From the options of ``tridet stream`` to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from tridet.async_detector import AsyncDetector
from tridet.cli.options import Server
from tridet.cli.stream_display import Display
from tridet.cli.stream_run import Run
from tridet.cli.stream_sinks import Context, Outputs, open_outputs
from tridet.cli.stream_stats import StatsFile
from tridet.detector import Detector
from tridet.streaming.assembly import analysis_from, pipeline_of, sources_from
from tridet.streaming.config import load_config
from tridet.streaming.engine import Limits
from tridet.streaming.sources import Policy, RtspTransport, Source, with_unique_names
from tridet.streaming.zones import parse_zone

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    locations: tuple[str, ...]
    config: Path | None
    policy: Policy | None
    max_fps: float | None
    rtsp_transport: RtspTransport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Areas:
    track: bool
    zones: tuple[str, ...]
    lines: tuple[str, ...]


def prepare(server: Server, options: dict[str, Any]) -> Run:
    """Return the run, nothing of it started.

    Args:
        server: where the detector is.
        options: the others, by the names of their arguments.

    Raises:
        UsageError, TridetError, OSError: one is not acceptable, or the server cannot be used.
    """
    quiet, stats = options.pop("quiet"), options.pop("stats")
    outputs = _taken(Outputs, options)
    sources = _sources(_taken(_Inputs, options))
    areas = _taken(_Areas, options)
    analysis = analysis_from(areas.track, areas.zones, areas.lines, sources)
    options["timeout_s"] = server.timeout_s
    limits = _taken(Limits, options)
    settings = {"timeout_s": server.timeout_s, "tls": server.tls, **options}
    # Before an output is opened, which empties files: with no server there is nothing to write.
    with Detector(server.url, **settings) as asked:
        labels = asked.connect().labels
    display = Display(quiet)
    context = Context(
        sources,
        labels,
        [
            *(parse_zone(text).name for text in areas.zones),
            *(zone.name for source in sources for zone in source.areas.zones),
        ],
        analysis.draw,
        snapshots=lambda: pipeline.snapshots(),  # made below, of these
        stop=lambda: pipeline.stop(),
        warn=display.warning,
    )
    opened = open_outputs(outputs, context)
    stats_file = None if stats is None else StatsFile(stats)
    for line in opened.announcements:
        display.note(line)
    detector = AsyncDetector(server.url, retries=0, **settings)
    pipeline = pipeline_of(sources, detector, limits, opened.sinks, analysis)
    return Run(sources, pipeline, opened, stats_file, display)


def _sources(inputs: _Inputs) -> Sequence[Source]:
    given = {
        "policy": inputs.policy,
        "max_fps": inputs.max_fps,
        "rtsp_transport": inputs.rtsp_transport,
    }
    if not inputs.locations:
        if inputs.config is None:
            raise click.UsageError("expected a SOURCE or --config, got neither")
        for name, value in given.items():
            if value is not None:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} is for SOURCEs: set {name} in {inputs.config}")
    configured = [] if inputs.config is None else load_config(inputs.config)
    named = sources_from(inputs.locations, **given) if inputs.locations else []
    return with_unique_names([*configured, *named])


def _taken(kind: type[T], options: dict[str, Any]) -> T:
    """Move the fields of a dataclass out of the options."""
    return kind(**{one.name: options.pop(one.name) for one in fields(kind)})  # type: ignore[arg-type]
