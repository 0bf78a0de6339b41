"""Command line of the build tools: parses, calls, and turns expected errors into one line."""

import sys

import click

from tridet_build import _cli_plans, _cli_stages
from tridet_build._exceptions import BuildError

_INTERRUPTED = 130


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
    try:
        code = cli.main(prog_name="tridet-build", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "tridet-build"
        # A missing choice comes with a line for each that there is.
        message = " ".join(error.format_message().split())
        code = _fail(f"{message} (see {path} --help)", error.exit_code)
    except click.Abort:
        code = _INTERRUPTED
    except BuildError as error:
        code = _fail(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{place}{error.strerror or error}")
    sys.exit(code)


def _fail(message: str, code: int = 1) -> int:
    click.echo(f"tridet-build: error: {message}", err=True)
    return code
