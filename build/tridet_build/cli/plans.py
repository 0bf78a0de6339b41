"""The commands around plans: give them to the repository, look into one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from rich.table import Table

from tridet_build.cli.options import (
    PATH,
    Overrides,
    Precision,
    console,
    detector_options,
    load_overridden,
    prepared,
    stages_of,
)
from tridet_build.cli.repository import out_option, write_repository
from tridet_build.errors import BuildError, ManifestError
from tridet_build.manifest.manifest import manifest_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tridet_build.chain.prepare import Prepared


@click.command()
@detector_options
@out_option
@click.option(
    "--check", "dry", is_flag=True, help="Only compile, with TensorRT for RTX: needs no GPU."
)
@click.option("--timing-cache", type=PATH, help="File that remembers measured kernels.")
@click.option("-v", "--verbose", is_flag=True, help="Let TensorRT's own log through.")
def plans(
    manifests: tuple[Path, ...],
    models: Path,
    overrides: Overrides,
    out: Path,
    dry: bool,
    timing_cache: Path | None,
    verbose: bool,
) -> None:
    """Turn each detector into a proved TensorRT plan in the repository.

    Export, precision, gate, compile, verify, record: what has not changed is skipped. MANIFESTS are
    detector.toml files or their folders; without any, all of --models are built. One that fails
    does not stop the others. With --check and no --precision each is compiled in all three.

    \b
    Examples:
      tridet-build plans
      tridet-build plans models/pcb --precision int8 --calibration boards/train --gate boards/test
      tridet-build plans --check
    """
    from tridet_build.chain.deliver import compile_only, deliver
    from tridet_build.gate.judge import GateFailedError
    from tridet_build.gate.report import gate_table
    from tridet_build.plan.runtime import tensorrt, use_rtx

    paths = manifest_paths(manifests, models)
    if dry:
        use_rtx()
    tensorrt()  # miss it before a calibration of minutes, not after it
    table = Table("detector", "precision", "TensorRT", "bytes", "seconds", "outcome")
    ready: list[Prepared] = []
    failures: list[BuildError] = []
    taken: dict[str, Path] = {}
    for path, precision in _jobs(paths, overrides, dry):
        try:
            detector = load_overridden(path, replace(overrides, precision=precision))
            if taken.setdefault(detector.name, path) != path:
                raise ManifestError(f"{path}: name: that of {taken[detector.name]} already")
            stages = stages_of(detector, overrides)
            one = prepared(detector, stages)
            if dry:
                built = compile_only(one, stages, console=console, verbose=verbose)
            else:
                built = deliver(
                    one, out, stages, timing_cache=timing_cache, console=console, verbose=verbose
                )
        except BuildError as error:
            failures.append(error)
            if isinstance(error, GateFailedError):
                console.print(gate_table([error.report]))
            name = (path if path.is_dir() else path.parent).name
            table.add_row(name, precision, "", "", "", "failed, see below")
            continue
        ready.append(one)
        table.add_row(
            detector.name,
            f"{detector.precision}, got {built.achieved}",
            built.tensorrt,
            f"{built.bytes:,}",
            f"{built.seconds:.1f}",
            "compiled" if dry else "in the repository",
        )
    if ready and not dry:
        write_repository(ready, models, out, all_chosen=not manifests and not failures)
    console.print(table)
    if not dry:
        _remind(ready, overrides)
    for failure in failures:
        click.echo(f"tridet-build: error: {failure}", err=True)
    if failures:
        raise SystemExit(1)


@click.command()
@click.argument("plan", type=PATH)
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), help="Time it at this batch size."
)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True)
def inspect(plan: Path, batches: tuple[int, ...], seconds: float) -> None:
    """Show what PLAN holds, and how fast it runs on this GPU with --batch.

    \b
    Example:
      tridet-build inspect model_repository/pcb_detector/1/model.plan --batch 1 --batch 8
    """
    from tridet_build.plan.inspect import engine_info, measure, speed_table

    console.print(engine_info(plan).table())
    if batches:
        console.print(speed_table(measure(plan, batches, seconds=seconds)))


def _jobs(
    paths: Iterable[Path], overrides: Overrides, dry: bool
) -> Iterator[tuple[Path, Precision | None]]:
    for path in paths:
        if dry and overrides.precision is None:
            yield from ((path, precision) for precision in get_args(Precision))
        else:
            yield path, overrides.precision


def _remind(ready: list[Prepared], overrides: Overrides) -> None:
    if overrides.precision and ready:
        names = ", ".join(one.manifest.name for one in ready)
        console.print(
            f"note: `make repository` goes by the manifests again; to keep {names} in "
            f'{overrides.precision}, say precision = "{overrides.precision}" there'
        )
