"""The commands around the repository: render it, give it plans, check it, look into a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click
from rich.table import Table

from tridet_build.cli.detectors import (
    PATH,
    Precision,
    Wishes,
    console,
    detector_options,
    groups_of,
    load_wished,
    prepared,
    sharers_of,
    stages_of,
)
from tridet_build.errors import BuildError, ManifestError
from tridet_build.manifest.manifest import manifest_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tridet_build.chain.prepare import Prepared

_out = click.option(
    "--out",
    type=PATH,
    default=Path("model_repository"),
    show_default=True,
    help="The repository to write.",
)


@click.command()
@detector_options
@_out
def repository(manifests: tuple[Path, ...], models: Path, wishes: Wishes, out: Path) -> None:
    """Render the repository, each detector's ONNX wrapped in its serving graph.

    MANIFESTS are detector.toml files or their folders. Weights that are not ONNX yet, or not in
    the manifest's precision, are exported, converted and proved first. A group.toml in --models is
    rendered too, if all its members are.

    \b
    Example:
      tridet-build repository models/pcb --out model_repository
    """
    detectors = [load_wished(path, wishes) for path in manifest_paths(manifests, models)]
    ready = [prepared(detector, stages_of(detector, wishes)) for detector in detectors]
    changed = _write(ready, models, out, all_chosen=not manifests)
    names = ", ".join(one.manifest.name for one in ready)
    console.print(f"{out}: {names} ready to serve ({changed} files written)")


@click.command()
@detector_options
@_out
@click.option(
    "--check", "dry", is_flag=True, help="Only compile, with TensorRT for RTX: needs no GPU."
)
@click.option("--timing-cache", type=PATH, help="File that remembers measured kernels.")
@click.option("-v", "--verbose", is_flag=True, help="Let TensorRT's own log through.")
def plans(
    manifests: tuple[Path, ...],
    models: Path,
    wishes: Wishes,
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
    for path, precision in _jobs(paths, wishes, dry):
        try:
            detector = load_wished(path, replace(wishes, precision=precision))
            if taken.setdefault(detector.name, path) != path:
                raise ManifestError(f"{path}: name: that of {taken[detector.name]} already")
            stages = stages_of(detector, wishes)
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
        _write(ready, models, out, all_chosen=not manifests and not failures)
    console.print(table)
    if not dry:
        _remind(ready, wishes)
    for failure in failures:
        click.echo(f"tridet-build: error: {failure}", err=True)
    if failures:
        raise SystemExit(1)


@click.command()
@click.argument("repository", type=PATH, default=Path("model_repository"))
@click.option(
    "--runtime",
    type=click.Choice(["tensorrt", "onnxruntime", "python"]),
    default="onnxruntime",
    show_default=True,
    help="Which config of a detector counts; tensorrt also holds the plans against this machine.",
)
def check(repository: Path, runtime: Literal["tensorrt", "onnxruntime", "python"]) -> None:
    """Check everything that tritonserver would load from REPOSITORY; fail if it would not.

    \b
    Example:
      tridet-build check model_repository --runtime tensorrt
    """
    from tridet_build.repository import check as checks

    findings = checks.check(repository, runtime=runtime)
    if findings:
        console.print(checks.table(findings))
    if checks.failed(findings):
        raise SystemExit(1)
    console.print(f"{repository}: fit to serve with the {runtime} runtime")


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
    paths: Iterable[Path], wishes: Wishes, dry: bool
) -> Iterator[tuple[Path, Precision | None]]:
    for path in paths:
        if dry and wishes.precision is None:
            yield from ((path, precision) for precision in get_args(Precision))
        else:
            yield path, wishes.precision


def _write(ready: list[Prepared], models: Path, out: Path, *, all_chosen: bool) -> int:
    from tridet_build.chain.deliver import build_facts
    from tridet_build.repository.render import write

    detectors = [one.manifest for one in ready]
    changed = write(
        detectors,
        out,
        groups_of(models, ready, all_chosen=all_chosen),
        sharers=sharers_of(detectors, models) if not all_chosen else (),
        builds={one.manifest.name: build_facts(one, out) for one in ready},
        graphs={one.manifest.name: one.graph for one in ready},
    )
    return len(changed)


def _remind(ready: list[Prepared], wishes: Wishes) -> None:
    if wishes.precision and ready:
        names = ", ".join(one.manifest.name for one in ready)
        console.print(
            f"note: `make repository` goes by the manifests again; to keep {names} in "
            f'{wishes.precision}, say precision = "{wishes.precision}" there'
        )
