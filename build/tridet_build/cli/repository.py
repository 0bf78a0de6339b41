"""The commands around the repository: render it, check it."""

from __future__ import annotations

import re
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
    note,
    prepared,
    stages_of,
)
from tridet_build.errors import BuildError, ManifestError, RepositoryError
from tridet_build.manifest.manifest import MANIFEST_FILE, manifest_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tridet_build.chain.prepare import Prepared

_NAME = re.compile(r"""^name\s*=\s*["']([a-z][a-z0-9_]*)["']""", re.MULTILINE)

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
@click.option(
    "--keep-going", is_flag=True, help="Succeed if at least one detector is ready, whatever fails."
)
def repository(
    manifests: tuple[Path, ...], models: Path, overrides: Overrides, out: Path, keep_going: bool
) -> None:
    """Render the repository, each detector's ONNX wrapped in its serving graph.

    MANIFESTS are detector.toml files or their folders. Weights that are not ONNX yet, or not in
    the manifest's precision, are exported, converted and proved first. A group.toml in --models is
    rendered too, if all its members are. One that fails does not stop the others: it stays as it
    was rendered before. Without MANIFESTS, what was rendered of a manifest that is gone from
    --models is removed.

    \b
    Example:
      tridet-build repository models/pcb --out model_repository
    """
    ready: dict[str, Prepared] = {}
    failures: list[BuildError] = []
    failed: list[Path] = []
    for path in manifest_paths(manifests, models):
        try:
            detector = load_overridden(path, overrides)
            if detector.name in ready:
                raise ManifestError(f"{path}: name: that of another detector, {detector.name}")
            ready[detector.name] = prepared(detector, stages_of(detector, overrides))
        except BuildError as error:
            failures.append(error)
            failed.append(path)
    if ready:
        try:
            changed = write_repository(
                list(ready.values()),
                models,
                out,
                all_chosen=not manifests,
                failed=failed,
                on_error=failures.append,
            )
        except RepositoryError as error:
            failures.append(error)
            ready.clear()
        else:
            console.print(f"{out}: {', '.join(ready)} ready to serve ({changed} files written)")
    for failure in failures:
        click.echo(f"tridet-build: error: {failure}", err=True)
    for name in sorted({named_in(path) for path in failed} - ready.keys()):
        kept = (out / name / "config.pbtxt").is_file()
        state = "stays as it was rendered before" if kept else "will NOT be served"
        click.echo(f"tridet-build: warning: {name} {state}", err=True)
    if failures and not (keep_going and ready):
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


def write_repository(
    ready: list[Prepared],
    models: Path,
    out: Path,
    *,
    all_chosen: bool,
    failed: Sequence[Path] = (),
    on_error: Callable[[ManifestError], None] | None = None,
) -> int:
    """Write the detectors and the groups of them; return how many files changed.

    Args:
        ready: the detectors.
        models: folder of all manifests.
        out: the repository.
        all_chosen: they are all that can be served of ``models``; what was rendered of others goes.
        failed: manifests of which what was rendered before stays all the same.
        on_error: told of each group that is left out; without it the first one is raised.
    """
    from tridet_build.chain.deliver import build_facts
    from tridet_build.repository.prune import prune
    from tridet_build.repository.render import folders, write

    detectors = [one.manifest for one in ready]
    groups = groups_of(models, ready, all_chosen=all_chosen, on_error=on_error)
    changed = write(
        detectors,
        out,
        groups,
        co_served=co_served_with(detectors, models) if not all_chosen else (),
        builds={one.manifest.name: build_facts(one, out) for one in ready},
        graphs={one.manifest.name: one.graph for one in ready},
        alone=all_chosen and not failed,
    )
    if all_chosen:
        gone = prune(out, folders(detectors, groups), [named_in(path) for path in failed])
        if gone:
            note(f"{out}: {', '.join(gone)} removed, as {models} no longer has it")
    return len(changed)


def named_in(path: Path) -> str:
    """Return the name in a manifest that may be broken; that of its folder where it has none."""
    file = path / MANIFEST_FILE if path.is_dir() and path.name != MANIFEST_FILE else path
    try:
        found = _NAME.search(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = None
    return found[1] if found else file.parent.name
