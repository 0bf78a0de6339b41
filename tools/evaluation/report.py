"""The pages: one of a run, one of several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import html_report as html
from tridet import InvalidInput
from tridet.images import pixels_of
from tridet_bench.table import Table

from . import plots, tables
from .mistakes import Mark, Marked
from .results import Results

_WORST_IMAGES = 9
_CLOSE_UPS = 24
_COLORS = {"hit": "#0072b2", "false": "#d92d20", "missed": "#e69f00"}
_KEY = (
    '<div class="key">'
    f'<span><i style="border-color:{_COLORS["hit"]}"></i>hit</span>'
    f'<span><i style="border-color:{_COLORS["false"]}"></i>false box</span>'
    f'<span><i style="border-color:{_COLORS["missed"]}"></i>missed object</span></div>'
)


def run_page(results: Results, images: Sequence[Marked]) -> str:
    """Return the report of one run; ``images`` have the worst first."""
    served = results.served
    of_all = served.hits + served.missed
    headline = html.cards(
        [
            (_percent(results.map50_95), "mAP50-95", "good"),
            (_percent(results.map50), "mAP50", "good"),
            (f"{served.hits} of {of_all}", f"objects found at {served.conf:.2f}", ""),
            (str(served.false), f"false boxes at {served.conf:.2f}", ""),
            (
                f"{served.empty_with_false} of {results.empty_images}",
                "empty images with a false box",
                "",
            ),
            (f"{results.latency_ms.p50:.0f} ms", f"median, {_in_flight(results)}", ""),
        ]
    )
    note = (
        f"At the model's default confidence {served.conf:.2f}; a detection hits an object of its "
        "class at an IoU of 0.5 or more. "
    )
    bad = [image for image in images if image.weight]
    worst = "".join(_image(image, results) for image in bad[:_WORST_IMAGES])
    close = "".join(_close_ups(bad, results))
    return html.page(
        f"{results.name} on {results.split}",
        f"{results.images} images, {results.objects} objects · {results.dataset} · {results.model} "
        f"in {results.precision} · through the server · {results.date}",
        [
            headline,
            html.section(
                "Curves",
                _figures(plots.precision_recall(results), plots.f1_by_confidence(results)),
            ),
            html.section(
                "At one confidence",
                _table(tables.operating(results)),
                note="Best is where the classes' mean F1 is highest, default is the model's own. "
                "P (precision), "
                "R (recall) and F1 are means of the classes.",
            ),
            html.section(
                "Classes",
                _table(tables.classes(results)),
                _figures(plots.per_class_ap(results), plots.confusion(results)),
                note="P, R and F1 at the best confidence; own conf is the one that is best "
                "for the class. In the confusion matrix the "
                "last column holds missed objects, the last row detections of nothing.",
            ),
            html.section(
                "Object size", _table(tables.sizes(results)), note="COCO's buckets, in pixels."
            ),
            html.section(
                "Latency",
                _table(tables.summary(results)),
                note="Client round trip from the file to the boxes, with "
                f"{_in_flight(results)}: what such a load costs, not the least that is possible.",
            ),
            html.section(
                f"Worst images: {len(bad)} of {results.images} have a mistake",
                _KEY,
                f'<div class="pictures">{worst}</div>',
                note=note + "A miss counts 1, a false box as much as the detector was sure of it.",
            )
            if bad
            else html.section("Worst images", note=f"{note}There is no mistake at all."),
            html.section("Mistakes close up", _KEY, f'<div class="pictures small">{close}</div>')
            if bad
            else "",
            html.section("What was asked", _table(_asked(results))),
        ],
    )


def compare_page(runs: Sequence[Results]) -> str:
    """Return the report of several runs on one split."""
    return html.page(
        "Runs side by side",
        " · ".join(run.name for run in runs) + f" · {runs[0].dataset}, {runs[0].split}",
        [
            html.section(
                "Summary",
                _table(tables.compared(runs)),
                note="Small, medium and large are COCO's size buckets; default is each model's own "
                "confidence, at which false boxes on images without objects are counted too.",
            ),
            html.section("Curves", _figures(*plots.compared_curves(runs))),
            html.section("Classes", _table(tables.compared_classes(runs))),
        ],
    )


def _image(image: Marked, results: Results) -> str:
    path = image.pair.path
    caption = (
        f"<b>{html.escape(path.name)}</b> {image.count('missed')} missed, "
        f"{image.count('false')} false, {image.count('hit')} hit"
    )
    # Hits first, so that they never cover a mistake.
    marks = sorted(image.marks, key=lambda mark: mark.weight)
    boxes = [_box(mark, results, mark.verdict != "hit") for mark in marks]
    return html.picture(_pixels(image), caption, boxes)


def _close_ups(images: Sequence[Marked], results: Results) -> list[str]:
    wrong = [(mark, image) for image in images for mark in image.marks if mark.weight]
    wrong.sort(key=lambda pair: -pair[0].weight)
    # An object that was taken for another class is one mistake, and is shown once.
    twins = {id(twin) for mark, image in wrong if (twin := _taken_for(mark, image))}
    drawn = []
    for mark, image in [pair for pair in wrong if id(pair[0]) not in twins][:_CLOSE_UPS]:
        pixels = _pixels(image)
        window = _window(mark.corners, (pixels.shape[1], pixels.shape[0]))
        said = f"false, {mark.score:.2f}" if mark.verdict == "false" else "missed"
        if twin := _taken_for(mark, image):
            said = f"taken for {results.classes[twin.class_id].name}, {twin.score:.2f}"
        name = html.escape(results.classes[mark.class_id].name)
        caption = f"<b>{name}</b> {html.escape(said)}<br>{html.escape(image.pair.path.name)}"
        marks = [*(each for each in image.marks if each not in (mark, twin)), mark]
        boxes = [_box(each, results, each is mark, label=False) for each in marks]
        drawn.append(html.picture(pixels, caption, boxes, side=340, window=window))
    return drawn


def _taken_for(mark: Mark, image: Marked) -> Mark | None:
    """The false box of another class that sits on a missed object."""
    if mark.verdict != "missed":
        return None
    rivals = [each for each in image.marks if each.verdict == "false"]
    return next((each for each in rivals if mark.overlaps(each)), None)


def _window(
    corners: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The square around a box that shows it with its surroundings, inside the image."""
    x1, y1, x2, y2 = corners
    side = round(min(max(96.0, 2.5 * max(x2 - x1, y2 - y1)), *size))
    left = round(min(max((x1 + x2 - side) / 2, 0), size[0] - side))
    top = round(min(max((y1 + y2 - side) / 2, 0), size[1] - side))
    return left, top, left + side, top + side


def _box(mark: Mark, results: Results, thick: bool, *, label: bool = True) -> html.Box:
    name = results.classes[mark.class_id].name
    text = f"{name} {mark.score:.2f}" if mark.verdict == "false" else name
    shown = text if label and mark.verdict != "hit" else ""
    return html.Box(
        mark.corners, _COLORS[mark.verdict], shown, thick, below=mark.verdict == "missed"
    )


def _pixels(image: Marked) -> html.UInt8Array:
    width, height = image.pair.found.size
    try:
        return pixels_of(image.pair.path, width * height)
    except InvalidInput as error:
        raise InvalidInput(f"{image.pair.path}: {error}") from None


def _asked(results: Results) -> Table:
    rows = {
        "model": f"{results.model}, {results.precision}",
        "data set": f"{results.dataset}, {results.split}",
        "request": ", ".join(f"{name} {value}" for name, value in results.thresholds.items()),
        "transport": results.transport,
        **{f"build: {key}": str(value) for key, value in results.build.items()},
    }
    return Table("", ("", ""), tuple(rows.items()))


def _table(table: Table) -> str:
    return html.table(table.columns, table.rows, best=table.best)


def _figures(*svgs: str) -> str:
    return f'<div class="figures">{"".join(f"<div>{svg}</div>" for svg in svgs)}</div>'


def _in_flight(results: Results) -> str:
    count = results.latency_ms.in_flight
    return f"{count} image{'s' if count > 1 else ''} in flight"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"
