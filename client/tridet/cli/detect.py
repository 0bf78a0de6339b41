"""What ``tridet detect`` does, apart from parsing its options."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import cv2

from tridet.cli.columns import in_columns
from tridet.cli.image_files import Source, find_sources
from tridet.cli.printable import printable
from tridet.cli.writers import open_writer
from tridet.detections import Detections, UInt8Array
from tridet.detector import Detector
from tridet.exceptions import (
    ContractMismatch,
    InvalidInput,
    ModelUnknown,
    ServerNotReady,
    ServerUnreachable,
    SharedMemoryUnavailable,
    TridetError,
)
from tridet.extras import require
from tridet.files import write_bytes
from tridet.images import pixels_of
from tridet.pipeline import ordered_map

_CLEAR_LINE = "\r\033[K"
# These hold for every image alike: the run ends instead of reporting them once for each.
_FATAL = (
    ServerUnreachable,
    ServerNotReady,
    ModelUnknown,
    ContractMismatch,
    SharedMemoryUnavailable,
)


@dataclass(frozen=True, slots=True)
class Output:
    """What to write, and where."""

    save: Path | None
    """Folder for the images with their boxes drawn."""
    destination: str | None
    """File, folder or ``-`` for the results."""
    format: str
    """Of the results, one of ``FORMATS``."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    source: Source
    detections: Detections | None
    error: TridetError | None


def detect(
    detector: Detector,
    arguments: tuple[str, ...],
    output: Output,
    *,
    recursive: bool,
    workers: int,
    quiet: bool,
) -> bool:
    """Detect in every source, write the results in order, and return whether all went well.

    Raises:
        TridetError: one that ends the run; what was finished until then has been written.
        OSError: a result cannot be written.
    """
    if output.save is not None:
        require("draw", "supervision")
    found = find_sources(arguments, recursive)
    sources = found.images
    _check_save_folder(sources, output.save)
    cv2.setNumThreads(1)  # images run in parallel already; OpenCV's threads would only compete
    with detector, _Report(len(sources) + len(found.problems), quiet) as report:
        for problem in found.problems:
            report.failure(problem)
        run = _Run(detector, output)
        with ExitStack() as stack:
            write = None
            if output.destination is not None:
                labels = detector.connect().labels
                write = stack.enter_context(open_writer(output.format, output.destination, labels))
            for outcome in ordered_map(run.process, run.until_stopped(sources), workers):
                if outcome.error is not None:
                    report.failure(f"{outcome.source.name}: {outcome.error}")
                elif outcome.detections is not None:
                    report.success(outcome.detections)
                    if write is not None:
                        write(outcome.detections, outcome.source.output_name)
    report.summary(found.skipped)
    if run.fatal is not None:
        left = len(sources) - report.done - (report.failed - len(found.problems))
        raise type(run.fatal)(f"{run.fatal} ({left} of {len(sources)} images not processed)")
    if run.unsaved is not None:
        raise run.unsaved
    return report.failed == 0


class _Run:
    """The work on one image, done on several threads, and the reason to stop, if any."""

    def __init__(self, detector: Detector, output: Output) -> None:
        self._detector = detector
        self._save = output.save
        self._writes = output.destination is not None
        self.fatal: TridetError | None = None
        self.unsaved: OSError | None = None
        """Why no more images are saved; the other results are written all the same."""

    def until_stopped(self, sources: list[Source]) -> Iterator[Source]:
        for source in sources:
            if self.fatal is not None:
                return
            yield source

    def process(self, source: Source) -> _Outcome:
        """Return detections or an error; neither, if the run ended before or with this image."""
        if self.fatal is not None:
            return _Outcome(source, None, None)
        try:
            return _Outcome(source, self._detect(source), None)
        except _FATAL as error:
            self.fatal = self.fatal or error
            return _Outcome(source, None, None)
        except TridetError as error:
            return _Outcome(source, None, error)

    def _detect(self, source: Source) -> Detections:
        data = source.read()
        save = self._save
        if save is None:
            return dataclasses.replace(self._detector(data), source=source.name)
        # Drawing needs the pixels; decoded once, they serve for the request too.
        pixels = pixels_of(data, self._detector.connect().max_pixels)
        image = data if self._detector.transport == "encoded" else pixels
        detections = dataclasses.replace(self._detector(image), source=source.name)
        target = save / source.output_name
        drawn = _encode(detections.annotate(pixels), target.suffix)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, drawn)
        except OSError as error:
            if not self._writes:
                raise
            self._save, self.unsaved = None, error
        return detections


class _Report:
    """What the user sees on stderr: a progress bar on a terminal, failures, and a summary.

    Args:
        total: number of sources.
        quiet: print failures only.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self.failed = 0
        self.done = 0
        self._quiet = quiet
        self._classes: Counter[str] = Counter()
        self._hidden = quiet or total < 2 or not sys.stderr.isatty()
        self._bar = click.progressbar(
            length=total, label="detecting", show_pos=True, file=sys.stderr, hidden=self._hidden
        )
        self._started = time.monotonic()

    def __enter__(self) -> _Report:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.render_finish()

    def success(self, detections: Detections) -> None:
        """Count one image that was finished."""
        self.done += 1
        self._classes.update(detections.names)
        self._bar.update(1)

    def failure(self, reason: str) -> None:
        """Count and print one source that failed."""
        self.failed += 1
        self._bar.update(1)
        clear = "" if self._hidden else _CLEAR_LINE  # the bar is drawn anew below
        click.echo(f"{clear}tridet: error: {printable(reason)}", err=True)

    def summary(self, skipped: Mapping[str, int]) -> None:
        """Print the table of counts, and of the files that are no images, by their suffix."""
        if self._quiet:
            return
        elapsed_s = time.monotonic() - self._started
        rows = [("images", str(self.done))]
        if self.failed:
            rows.append(("failed", str(self.failed)))
        if skipped:
            rows.append(("skipped, no images", str(sum(skipped.values()))))
            rows += [(f"  {suffix}", str(count)) for suffix, count in sorted(skipped.items())]
        rows.append(("detections", str(self._classes.total())))
        rows += [(f"  {name}", str(count)) for name, count in self._classes.most_common()]
        rows.append(("time", f"{elapsed_s:.2f} s"))
        rows.append(("speed", f"{self.done / elapsed_s:.1f} images/s"))
        click.echo(in_columns(rows), err=True)


def _encode(pixels: UInt8Array, suffix: str) -> bytes:
    _, content = cv2.imencode(suffix, pixels)
    return content.tobytes()


def _check_save_folder(sources: list[Source], save: Path | None) -> None:
    if save is None:
        return
    save.mkdir(parents=True, exist_ok=True)
    for source in sources:
        target = save / source.output_name
        if source.path is not None and target.exists() and target.samefile(source.path):
            raise InvalidInput(f"--save: {target} is a source itself; choose another folder")
