"""The command ``tridet``: parse, call, and turn every expected error into one line."""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from tridet import __version__
from tridet.cli.options import ServerOptions, detector_options, server_options
from tridet.cli.printable import printable
from tridet.cli.run import run
from tridet.cli.stream import stream
from tridet.cli.writers import FORMATS, STDOUT
from tridet.exceptions import TridetError
from tridet.transports import Transport

_COMPLETE_VARIABLE = "_TRIDET_COMPLETE"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tridet", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Detect objects in images with a detector that a Triton server serves.

    \b
    Examples:
      tridet status
      tridet detect board.jpg --save out
      tridet detect boards/ --output results.jsonl
      tridet stream rtsp://cam1/main rtsp://cam2/main --web :8080
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.argument("sources", nargs=-1, required=True)
@server_options
@detector_options
@click.option("--save", type=click.Path(path_type=Path), help="Folder for the drawn images.")
@click.option(
    "--output",
    "--json",
    "destination",
    metavar="FILE|-",
    help="Where the results go; - is stdout.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="Of the results; by default what FILE ends with, else json. "
    "For yolo, FILE is a folder that gets a label file per image.",
)
@click.option("--recursive", "-r", is_flag=True, help="Look into the folders of folders.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=4,
    show_default=True,
    help="Images under way at a time.",
)
@click.option(
    "--server-wait-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Seconds that an image waits for a server that has answered before and is gone.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
def detect(
    sources: tuple[str, ...],
    server: ServerOptions,
    model: str,
    transport: Transport,
    save: Path | None,
    destination: str | None,
    format: str | None,
    recursive: bool,
    workers: int,
    server_wait_s: float,
    quiet: bool,
    **thresholds: Any,
) -> None:
    """Detect objects in SOURCES: image files, folders, globs, or - for one image on stdin.

    Ends with 1 if any source failed; the others are finished all the same.

    \b
    Examples:
      tridet detect board.jpg --save out
      tridet detect boards/ 'more/**/*.png' --output results.csv
      tridet detect boards/ --output labels --format yolo
      tridet detect panel.jpg --tiles 3x2 --overlap 0.2 --save out
      curl -s https://example.org/board.jpg | tridet detect - --output -
    """
    from tridet.cli.detect import Output, detect
    from tridet.detector import Detector

    if format is not None and destination is None:
        destination = STDOUT
    if format is None:
        suffix = Path(destination or "").suffix.removeprefix(".")
        format = suffix if suffix in ("json", "jsonl", "csv") else "json"
    if format == "yolo" and destination == STDOUT:
        raise click.UsageError("--format yolo writes a file per image: name a folder with --output")
    detector = Detector(
        server.url,
        model,
        transport=transport,
        timeout_s=server.timeout_s,
        tls=server.tls,
        server_wait_s=server_wait_s,
        **thresholds,
    )
    output = Output(save, destination, format)
    if not detect(detector, sources, output, recursive=recursive, workers=workers, quiet=quiet):
        raise click.exceptions.Exit(1)


@cli.command()
@server_options
def status(server: ServerOptions) -> None:
    """Show the server's health, its models, and where the time of a request goes.

    Each detector also gets a small grey image, for Triton may say ready where that fails. Requests
    are those since the server's start, but for the warm-up; times are means. Ends with 1 if the
    server is not ready or a detector fails.

    \b
    Examples:
      tridet status
      tridet status --url gpu-box:8001
    """
    from tridet.cli.status import answers_of, print_status
    from tridet.server_info import ServerInfo

    with ServerInfo(server.url, server.tls, server.timeout_s) as info:
        found = info.status()
    answers = answers_of(server, found.detectors)
    print_status(found, server.url, answers)
    if not found.ready or not all(answer.healthy for answer in answers):
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes tridet's commands and options in SHELL.

    \b
    Examples:
      tridet completion bash > ~/.local/share/bash-completion/completions/tridet
      tridet completion zsh > ~/.zfunc/_tridet
      tridet completion fish > ~/.config/fish/completions/tridet.fish
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(complete(cli, {}, "tridet", _COMPLETE_VARIABLE).source())


cli.add_command(stream)
# Of other packages, such as tridet_bench, which this one does not import.
for _entry in entry_points(group="tridet.commands"):
    cli.add_command(_entry.load())


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"tridet: warning: {printable(str(message))}", err=True)


def main() -> None:
    """Run the command line; errors that can be expected become one line and a non-zero exit."""
    warnings.showwarning = _warn
    run(cli, "tridet", TridetError, complete_var=_COMPLETE_VARIABLE)
