"""The tables, the same for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from tridet_bench.table import Table

from .results import Operating, Results


def summary(results: Results) -> Table:
    """Return the headline figures."""
    return Table(
        f"{results.name} on {results.split}: {results.images} images, {results.objects} objects",
        ("", "mAP50-95", "mAP50", "mAP75", "p50 ms", "p90 ms", "p99 ms"),
        (
            (
                results.name,
                *map(_share, (results.map50_95, results.map50, results.map75)),
                *_latency(results),
            ),
        ),
    )


def operating(results: Results) -> Table:
    """Return what users get at the best and at the model's default confidence."""
    return Table(
        "Precision and recall at one confidence, IoU 0.5",
        (
            "confidence",
            "P",
            "R",
            "F1",
            "hits",
            "false",
            "missed",
            f"false on {results.empty_images} empty",
        ),
        (
            _operating(f"best F1: {results.best.conf:.3f}", results.best),
            _operating(f"default: {results.served.conf:.3f}", results.served),
        ),
    )


def classes(results: Results) -> Table:
    """Return the figures of each class."""
    return Table(
        "By class; precision, recall and F1 at the best confidence, and the class's own best",
        ("class", "objects", "AP50-95", "AP50", "P", "R", "F1", "own conf"),
        tuple(
            (
                each.name,
                str(each.objects),
                *map(_share, (each.ap50_95, each.ap50, each.precision, each.recall, each.f1)),
                "" if each.best_conf is None else f"{each.best_conf:.2f}",
            )
            for each in results.classes
        ),
    )


def sizes(results: Results) -> Table:
    """Return the figures by the objects' size."""
    said = {"small": "small, below 32²", "medium": "medium, to 96²", "large": "large"}
    return Table(
        "By object size, pixels of the source image",
        ("size", "objects", "AP50-95", "recall, mean over IoUs"),
        tuple(
            (said[each.name], str(each.objects), _share(each.ap50_95), _share(each.recall))
            for each in results.sizes
        ),
    )


def compared(runs: Sequence[Results]) -> Table:
    """Return several runs side by side."""
    shares: dict[str, list[float | None]] = {
        "mAP50-95": [run.map50_95 for run in runs],
        "mAP50": [run.map50 for run in runs],
        "mAP75": [run.map75 for run in runs],
        **{
            f"AP50-95, {size.name}": [run.sizes[index].ap50_95 for run in runs]
            for index, size in enumerate(runs[0].sizes)
        },
        "best F1": [run.best.f1 for run in runs],
        "precision at default": [run.served.precision for run in runs],
        "recall at default": [run.served.recall for run in runs],
    }
    latencies = zip(*(_latency(run) for run in runs), strict=True)
    rows = [
        ("model", *(f"{run.model} {run.precision}" for run in runs)),
        *((name, *map(_share, values)) for name, values in shares.items()),
        ("best confidence", *(f"{run.best.conf:.3f}" for run in runs)),
        ("default confidence", *(f"{run.served.conf:.3f}" for run in runs)),
        ("false boxes on empty", *(str(run.served.false_on_empty) for run in runs)),
        *((f"{name} ms", *ms) for name, ms in zip(("p50", "p90", "p99"), latencies, strict=True)),
    ]
    return Table(
        f"{runs[0].split}: {runs[0].images} images, {runs[0].objects} objects",
        ("", *(run.name for run in runs)),
        tuple(rows),
        best=_best(list(shares.values()), first_row=1),
    )


def compared_classes(runs: Sequence[Results]) -> Table:
    """Return the AP50-95 of each class in each run."""
    names = [each.name for each in runs[0].classes if each.objects]
    by_name = [{each.name: each.ap50_95 for each in run.classes} for run in runs]
    values = [[known.get(name) for known in by_name] for name in names]
    return Table(
        "AP50-95 by class",
        ("class", *(run.name for run in runs)),
        tuple((name, *map(_share, row)) for name, row in zip(names, values, strict=True)),
        best=_best(values, first_row=0),
    )


def _best(rows: Sequence[Sequence[float | None]], first_row: int) -> frozenset[tuple[int, int]]:
    """The places of each row's highest value, where there is one run above another."""
    places = set()
    for row, cells in enumerate(rows, start=first_row):
        known = [round(cell, 4) for cell in cells if cell is not None]
        if known and min(known) < max(known):
            places |= {
                (row, column)
                for column, cell in enumerate(cells, start=1)
                if cell is not None and round(cell, 4) == max(known)
            }
    return frozenset(places)


def _operating(name: str, point: Operating) -> tuple[str, ...]:
    return (
        name,
        *map(_share, (point.precision, point.recall, point.f1)),
        *map(str, (point.hits, point.false, point.missed)),
        f"{point.false_on_empty} on {point.empty_with_false}",
    )


def _latency(results: Results) -> tuple[str, ...]:
    latency_ms = results.latency_ms
    return tuple(f"{value:.1f}" for value in (latency_ms.p50, latency_ms.p90, latency_ms.p99))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
