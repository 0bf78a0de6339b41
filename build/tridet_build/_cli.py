"""Command line of the build tools: parses, calls, and turns expected errors into one line."""

import sys
from pathlib import Path

import click
from rich.console import Console

from tridet_build import _cli_stages
from tridet_build._exceptions import BuildError
from tridet_build.manifest import load_manifests, manifest_paths


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tridet")
def cli() -> None:
    """Turn detectors into a Triton model repository."""


@cli.command()
@click.argument("manifests", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder of detectors; all of them are served unless MANIFESTS names some.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="The repository to write.",
)
def repository(manifests: tuple[Path, ...], models: Path, out: Path) -> None:
    """Render the repository and wrap each detector's ONNX in its serving graph.

    MANIFESTS are detector.toml files or their folders.

    \b
    Example:
      tridet-build repository models/pcb --out model_repository
    """
    from tridet_build.repository import write  # onnx is heavy; --help need not wait for it

    loaded = load_manifests(manifest_paths(manifests, models))
    changed = write(loaded, out)
    names = ", ".join(manifest.name for manifest in loaded)
    Console(stderr=True).print(
        f"{out}: {names} ready to serve ({len(changed)} files written)", highlight=False
    )


for stage in (
    _cli_stages.export,
    _cli_stages.fp16,
    _cli_stages.int8,
    _cli_stages.gate,
    _cli_stages.plans,
    _cli_stages.check,
):
    cli.add_command(stage)


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    try:
        cli()
    except BuildError as error:
        click.echo(f"tridet-build: error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
