"""The options of ``tridet bench``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from tridet.cli.options import (
    CommaList,
    ServerOptions,
    conf_option,
    imgsz_option,
    model_option,
    server_options,
    some_of,
)
from tridet.extras import require
from tridet.transports import TRANSPORTS

_POSITIVE = click.FloatRange(min=0, min_open=True)
_MOST_RATE = 100_000
_MOST_CONCURRENCY = 1024


def _number(kind: Callable[[str], float], most: float) -> Callable[[str], float]:
    """Return what reads a number above 0."""

    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value <= most:
            raise click.BadParameter(f"expected numbers above 0, at most {most:g}, got {text!r}")
        return value

    return number


def _distinct(_context: click.Context, _option: click.Parameter, values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


@click.command()
@click.argument("sources", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--concurrency",
    metavar="N[,N...]",
    default=(),
    type=CommaList(_number(int, _MOST_CONCURRENCY), "whole numbers as in 1,8"),
    help="Closed loop: keep this many requests in flight; 1 if no load is given.",
)
@click.option(
    "--rate",
    "rates",
    metavar="R[,R...]",
    default=(),
    type=CommaList(_number(float, _MOST_RATE), "numbers as in 50,100"),
    help="Open loop: this many requests a second on average, at random times, "
    "whether the server keeps up or not.",
)
@click.option(
    "--until-saturation",
    is_flag=True,
    help="Raise the rate until the server no longer copes; recommend instance counts and a delay.",
)
@click.option(
    "--p99-limit-ms",
    type=_POSITIVE,
    metavar="MS",
    help="The p99 that --until-saturation accepts; by default five times that of an idle server.",
)
@click.option(
    "--transport",
    "transports",
    default="auto",
    show_default=True,
    metavar="T[,T...]",
    type=some_of(TRANSPORTS),
    callback=_distinct,
    help=f"How images travel: some of {', '.join(TRANSPORTS)}; see tridet detect.",
)
@click.option(
    "--size",
    "sizes",
    metavar="WxH[,WxH...]",
    default=(),
    type=CommaList(str, "sizes as in 1280x720"),
    help="Sizes of the generated frames if no IMAGE is given; 1280x720 by default.",
)
@click.option(
    "--duration",
    "duration_s",
    type=_POSITIVE,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each case is measured.",
)
@click.option(
    "--warmup",
    "warmup_s",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each case runs before it is measured.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Share the load among this many client processes.",
)
@click.option(
    "--perf-analyzer",
    is_flag=True,
    help="Repeat the cases of the transports raw and shm with NVIDIA's perf_analyzer.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write bench.json, bench.svg, bench.png and bench.html there.",
)
@server_options
@model_option
@conf_option
@imgsz_option
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def bench(server: ServerOptions, **options: Any) -> None:
    """Measure how fast a model is served: latency, throughput and where the time goes.

    Ends with 1 if the server went away before the end; what was measured is kept.

    \b
    Examples:
      tridet bench --concurrency 1,8 --transport fit,encoded
      tridet bench --rate 50,100 --size 1920x1080 --out out/bench
      tridet bench --until-saturation --p99-limit-ms 50
      tridet bench boards/*.jpg --transport encoded --duration 30
    """
    require("bench", "rich")
    from tridet_bench.show import Options, show

    if not show(server, Options(**options)):
        raise click.exceptions.Exit(1)
