"""Command line of the build tools: parses, calls, and turns expected errors into one line."""

import click
from tridet.cli.run import run

from tridet_build.cli import plans, repository, stages
from tridet_build.errors import BuildError


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tridet")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn detectors into a Triton model repository."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (
    repository.repository,
    plans.plans,
    repository.check,
    plans.inspect,
    stages.export,
    stages.fp16,
    stages.int8,
    stages.gate,
    stages.sensitivity,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an expected error is one line on stderr and a non-zero exit."""
    run(cli, "tridet-build", BuildError)
