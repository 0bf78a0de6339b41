"""Command line of the build tools: parses, calls, and turns expected errors into one line."""

import click
from tridet.cli.run import run

from tridet_build.cli import plans as _cli_plans
from tridet_build.cli import stages as _cli_stages
from tridet_build.errors import BuildError


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tridet")
@click.pass_context
def cli(context: click.Context) -> None:
    """Turn detectors into a Triton model repository."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


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
    """Run the command line; an expected error is one line on stderr and a non-zero exit."""
    run(cli, "tridet-build", BuildError)
