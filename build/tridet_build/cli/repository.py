"""The commands around the repository: render it, check it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tridet_build.cli.options import (
    PATH,
    Overrides,
    co_served_with,
    console,
    detector_options,
    groups_of,
    load_overridden,
    prepared,
    stages_of,
)
from tridet_build.manifest.manifest import manifest_paths

if TYPE_CHECKING:
    from tridet_build.chain.prepare import Prepared

out_option = click.option(
    "--out",
    type=PATH,
    default=Path("model_repository"),
    show_default=True,
    help="The repository to write.",
)


@click.command()
@detector_options
@out_option
def repository(manifests: tuple[Path, ...], models: Path, overrides: Overrides, out: Path) -> None:
    """Render the repository, each detector's ONNX wrapped in its serving graph.

    MANIFESTS are detector.toml files or their folders. Weights that are not ONNX yet, or not in
    the manifest's precision, are exported, converted and proved first. A group.toml in --models is
    rendered too, if all its members are.

    \b
    Example:
      tridet-build repository models/pcb --out model_repository
    """
    detectors = [load_overridden(path, overrides) for path in manifest_paths(manifests, models)]
    ready = [prepared(detector, stages_of(detector, overrides)) for detector in detectors]
    changed = write_repository(ready, models, out, all_chosen=not manifests)
    names = ", ".join(one.manifest.name for one in ready)
    console.print(f"{out}: {names} ready to serve ({changed} files written)")


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


def write_repository(ready: list[Prepared], models: Path, out: Path, *, all_chosen: bool) -> int:
    """Write the detectors and the groups of them; return how many files changed."""
    from tridet_build.chain.deliver import build_facts
    from tridet_build.repository.render import write

    detectors = [one.manifest for one in ready]
    changed = write(
        detectors,
        out,
        groups_of(models, ready, all_chosen=all_chosen),
        co_served=co_served_with(detectors, models) if not all_chosen else (),
        builds={one.manifest.name: build_facts(one, out) for one in ready},
        graphs={one.manifest.name: one.graph for one in ready},
    )
    return len(changed)
