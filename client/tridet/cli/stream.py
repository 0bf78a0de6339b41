"""The options of ``tridet stream``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tridet.cli.options import ServerOptions, detector_options, server_options
from tridet.extras import require

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("locations", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML or YAML file with sources and the options of each.",
)
@click.option(
    "--policy",
    type=click.Choice(["latest", "all"]),
    help="Of the SOURCEs: keep the newest frame and drop older ones (latest), or take every frame "
    "and let the source wait (all). By default latest for what is live, all for files; with latest "
    "a file plays at its own speed, as a camera would.",
)
@click.option("--max-fps", type=_POSITIVE, help="Of each SOURCE: drop frames that come faster.")
@click.option(
    "--rtsp-transport", type=click.Choice(["tcp", "udp"]), help="Of each SOURCE; tcp if not given."
)
@click.option(
    "--max-age-s",
    type=_POSITIVE,
    metavar="SECONDS",
    help="Do not send a frame that is older, and let the server refuse one that would get older in "
    "its queue; 1 for the policy latest if not given.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(min=1),
    help="Frames of one source under way at a time; 2 for the policy latest and 8 for all if not "
    "given.",
)
@click.option("--track", is_flag=True, help="Follow objects from frame to frame.")
@click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="NAME=X1,Y1,...",
    help="Count objects in a polygon, in pixels or fractions of the frame. Repeatable.",
)
@click.option(
    "--line",
    "lines",
    multiple=True,
    metavar="NAME=X1,Y1,X2,Y2",
    help="Count objects that cross a line; turns --track on. Repeatable.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="FILE.mp4",
    help="Save annotated video; several sources get a file each.",
)
@click.option("--jsonl", metavar="FILE|-", help="Write a line of JSON per frame; - is stdout.")
@click.option("--show", is_flag=True, help="Show all sources in one window; q ends the run.")
@click.option(
    "--web", metavar="[HOST]:PORT", help="Serve a live page; without HOST for this machine only."
)
@click.option(
    "--publish",
    metavar="URL",
    help="Send annotated video to an RTSP or RTMP server; {name} stands for the source. ${NAME} "
    "stands for an environment variable, here and in SOURCE and --webhook.",
)
@click.option(
    "--alert",
    "alerts",
    multiple=True,
    metavar="RULE",
    help='As in "short in gate for 2s every 60s": what calls --webhook and --exec. Repeatable.',
)
@click.option("--webhook", metavar="URL", help="POST each alert there as JSON.")
@click.option("--exec", "command", metavar="COMMAND", help="Run it with each alert on stdin.")
@click.option(
    "--stats",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the numbers of every source once a second, as JSON lines.",
)
@click.option(
    "--duration", "duration_s", type=_POSITIVE, metavar="SECONDS", help="Stop after that time."
)
@click.option(
    "--server-wait-s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the frames of the policy all wait for a server that has gone.",
)
@server_options
@detector_options
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def stream(server: ServerOptions, **options: Any) -> None:
    """Detect in video files, RTSP, RTMP and HTTP streams and USB cameras (by number), many at once.

    Ctrl-C ends the run cleanly, a second one at once. The exit code is 1 if a source or an output
    failed for good, 130 if Ctrl-C cut a file off, else 0: cameras have no end but that.

    \b
    Examples:
      tridet stream line.mp4 --save out.mp4 --jsonl out.jsonl
      tridet stream rtsp://cam1/main rtsp://cam2/main --web :8080
      tridet stream --config cameras.toml --stats stats.jsonl --quiet
      tridet stream 0 --show --zone gate=0.1,0.1,0.9,0.1,0.5,0.9
    """
    import cv2

    require("stream", "av", "rich")
    from tridet.cli.stream_prepare import prepare, request_from

    cv2.setNumThreads(1)  # every source has threads of its own; OpenCV's would spin beside them
    code = prepare(request_from(server, options)).until_over()
    if code:
        raise click.exceptions.Exit(code)
