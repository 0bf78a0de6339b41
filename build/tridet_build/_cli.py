"""Command line of the build tools: parses, calls, and turns expected errors into one line."""

import sys

import click

from tridet_build import _cli_plans, _cli_stages
from tridet_build._exceptions import BuildError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tridet")
def cli() -> None:
    """Turn detectors into a Triton model repository."""


for command in (
    _cli_plans.repository,
    _cli_plans.plans,
    _cli_plans.check,
    _cli_plans.inspect,
    _cli_stages.export,
    _cli_stages.fp16,
    _cli_stages.int8,
    _cli_stages.gate,
    _cli_stages.sensitivity,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    try:
        cli()
    except BuildError as error:
        click.echo(f"tridet-build: error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
