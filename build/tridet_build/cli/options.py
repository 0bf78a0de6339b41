"""Which detectors a command works on, and how it wants them: arguments, options and preparation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.progress import Progress
from tridet.cli.printable import printable

from tridet_build.errors import ManifestError
from tridet_build.manifest.groups import load_groups
from tridet_build.manifest.manifest import MANIFEST_FILE, Manifest, load_manifest

if TYPE_CHECKING:
    from tridet_build.chain.prepare import Prepared
    from tridet_build.chain.stages import Stages
    from tridet_build.manifest.groups import Group

Precision = Literal["fp32", "fp16", "int8"]

PATH = click.Path(path_type=Path)
console = Console(stderr=True, highlight=False)


def note(line: str) -> None:
    """Print one line as it stands; the square brackets of a file's name are no markup."""
    console.print(printable(line), markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Overrides:
    """What a command line says in place of the manifests."""

    precision: Precision | None
    calibration: Path | None
    samples: int | None
    gate: Path | None
    force: bool
    work: Path


def detector_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command MANIFESTS, --models and the options that make its argument ``overrides``."""
    options = (
        click.argument("manifests", nargs=-1, type=PATH),
        click.option(
            "--models",
            type=PATH,
            default=Path("models"),
            show_default=True,
            help="Folder of detectors; all of them are taken unless MANIFESTS names some.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "fp16", "int8"]),
            help="Instead of the manifest's.",
        ),
        click.option(
            "--calibration", type=PATH, metavar="FOLDER", help="Real images to calibrate INT8 on."
        ),
        click.option("--samples", type=click.IntRange(1), help="How many of them to use."),
        click.option(
            "--gate", type=PATH, metavar="FOLDER", help="Real images to prove the precision on."
        ),
        click.option("--force", is_flag=True, help="Do every stage anew."),
        click.option(
            "--work",
            type=PATH,
            default=Path("out/build"),
            show_default=True,
            help="Folder for what the stages make and remember.",
        ),
    )

    @functools.wraps(command)
    def with_overrides(
        *,
        precision: Precision | None,
        calibration: Path | None,
        samples: int | None,
        gate: Path | None,
        force: bool,
        work: Path,
        **rest: Any,
    ) -> None:
        command(overrides=Overrides(precision, calibration, samples, gate, force, work), **rest)

    for option in reversed(options):
        with_overrides = option(with_overrides)
    return with_overrides


def load_overridden(path: Path, overrides: Overrides) -> Manifest:
    """Load one manifest with what the command line says in its place.

    Raises:
        ManifestError: as :func:`tridet_build.manifest.manifest.load_manifest`; or no folder of
            images where the command line says.
    """
    detector = load_manifest(path)
    calibration, gate = detector.calibration, detector.gate
    for name, folder in (("--calibration", overrides.calibration), ("--gate", overrides.gate)):
        if folder is not None and not folder.is_dir():
            raise ManifestError(f"{name}: expected a folder of images, found none at {folder}")
    if overrides.calibration:
        calibration = replace(calibration, images=overrides.calibration.resolve())
    if overrides.samples:
        calibration = replace(calibration, samples=overrides.samples)
    if overrides.gate:
        gate = replace(gate, images=overrides.gate.resolve(), labels=None)
    return replace(
        detector,
        precision=overrides.precision or detector.precision,
        calibration=calibration,
        gate=gate,
    )


def co_served_with(detectors: Sequence[Manifest], models: Path) -> list[Manifest]:
    """Return these detectors and the others of the folder, whose shared steps must serve all."""
    found = {detector.name: detector for detector in detectors}
    for path in sorted(models.glob(f"*/{MANIFEST_FILE}")):
        try:
            other = load_manifest(path)
        except ManifestError as error:
            console.print(f"note: the shared steps are rendered without it: {error}")
        else:
            found.setdefault(other.name, other)
    return list(found.values())


def groups_of(
    models: Path,
    prepared: Sequence[Prepared],
    *,
    all_chosen: bool,
    on_error: Callable[[ManifestError], None] | None = None,
) -> list[Group]:
    """Load the groups of a folder whose members are all prepared."""
    manifests = [one.manifest for one in prepared]
    return load_groups(models, manifests, all_loaded=all_chosen, on_error=on_error)


def stages_of(detector: Manifest, overrides: Overrides) -> Stages:
    """Return the stages of a detector, which say on the terminal what they do."""
    from tridet_build.chain.stages import Stages

    def say(line: str) -> None:
        note(f"{detector.name}: {line}")

    return Stages((overrides.work / detector.name).resolve(), force=overrides.force, say=say)


def prepared(detector: Manifest, stages: Stages) -> Prepared:
    """Export, convert and prove one detector, with progress bars on a terminal.

    Raises:
        BuildError: a stage failed.
    """
    from tridet_build.chain.prepare import prepare

    with _bars() as bars:
        return prepare(detector, stages, progress=bars)


@contextmanager
def _bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def bar(name: str) -> Callable[[int, int], None]:
            task = progress.add_task(name)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar
