"""The page of a check: figures, faults and the pictures that show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import html_report as html
import numpy as np
from tridet.images import pixels_of
from tridet_build.datasets.dataset import Fault, LabelledImage

from .checks import TINY_PX, Checked
from .output import class_rows, fault_rows, split_rows
from .scan import MAX_PIXELS
from .summary import EDGES

_SAMPLES_PER_SPLIT = 3
_SHOWN_FAULTY = 9
_SHOWN_TWINS = 6


def check_page(checked: Checked) -> str:
    """Return the report."""
    errors, warnings = checked.count("error"), checked.count("warning")
    splits = checked.summary.splits
    body = [
        html.cards(
            [
                (str(errors), "errors", "bad" if errors else "good"),
                (str(warnings), "warnings", "warn" if warnings else "good"),
                (str(sum(s.images for s in splits)), "images", ""),
                (str(sum(s.objects for s in splits)), "objects", ""),
                (str(len(checked.dataset.names)), "classes", ""),
                (str(len(checked.twins)), "pictures there twice", ""),
            ]
        ),
        _faults(checked),
        html.section("Splits", _table(split_rows(checked))),
        html.section(
            "Classes and sizes",
            _table(class_rows(checked)),
            _figures([_balance(checked), _box_sides(checked), _image_sizes(checked)]),
            note=f"The shorter side of a box after letterboxing to {checked.imgsz} px; below "
            f"{TINY_PX:g} px there is little left to see.",
        ),
        _twins(checked),
        _faulty(checked),
        _samples(checked),
    ]
    return html.page(
        f"Data set check: {'errors' if errors else 'warnings' if warnings else 'all is well'}",
        f"{checked.dataset.file} · letterboxed to {checked.imgsz} px",
        body,
    )


def _faults(checked: Checked) -> str:
    columns, rows = fault_rows(checked)
    if not rows:
        return html.section("What is wrong", note="Nothing was found.")
    note = "The JSON file lists every single one. Errors spoil training or evaluation; warnings "
    return html.section(
        "What is wrong",
        html.table(columns, rows, text_columns=4),
        note=note + "may be meant.",
    )


@html.styled
def _balance(checked: Checked) -> str:
    names, splits = checked.dataset.names, checked.summary.splits
    figure, axes = html.new_figure(height=max(2.6, 1.1 + 0.3 * len(names)))
    places, start = np.arange(len(names)), np.zeros(len(names))
    for number, split in enumerate(splits):
        color = html.COLORS[number % len(html.COLORS)]
        axes.barh(places, split.per_class, left=start, color=color, height=0.7, label=split.name)
        start += split.per_class
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_title("Objects by class")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(splits))
    return html.figure_svg(figure)


@html.styled
def _box_sides(checked: Checked) -> str:
    counts = checked.summary.box_sides
    used = np.flatnonzero(counts)
    figure, axes = html.new_figure()
    if len(used):
        first, last = used[0], used[-1] + 1
        tiny = [EDGES[i + 1] <= TINY_PX for i in range(first, last)]
        colors = ["#d92d20" if each else html.COLORS[0] for each in tiny]
        axes.bar(range(first, last), counts[first:last], width=0.92, color=colors)
        labels = [f"{EDGES[i]}–{EDGES[i + 1]}" for i in range(first, last)]
        axes.set_xticks(range(first, last), labels, rotation=45, ha="right")
    axes.grid(axis="x", visible=False)
    axes.set(xlabel=f"shorter side at {checked.imgsz}, pixels", ylabel="boxes")
    axes.set_title("Box size")
    return html.figure_svg(figure)


@html.styled
def _image_sizes(checked: Checked) -> str:
    figure, axes = html.new_figure()
    for number, split in enumerate(checked.summary.splits):
        if split.sizes:
            widths, heights, counts = map(np.array, zip(*split.sizes, strict=True))
            color = html.COLORS[number % len(html.COLORS)]
            area = 14 + 60 * np.sqrt(counts / counts.sum())
            axes.scatter(widths, heights, s=area, color=color, alpha=0.45, lw=0, label=split.name)
    axes.set(xlabel="width, pixels", ylabel="height, pixels", xlim=(0, None), ylim=(0, None))
    axes.set_title("Image size")
    axes.legend(loc="upper left")
    return html.figure_svg(figure)


def _twins(checked: Checked) -> str:
    # Across splits first, because only these make an evaluation lie.
    split_of = {i.path: s.name for s in checked.dataset.splits for i in s.images}
    ordered = sorted(checked.twins, key=lambda t: split_of[t[1]] == split_of[t[2]])
    if not ordered:
        return ""
    shown = []
    for twin, *paths in ordered[:_SHOWN_TWINS]:
        how = "equal files" if twin.same_file else f"hashes differ in {twin.bits} of 64 bits"
        for path in paths:
            caption = f"<b>{html.escape(split_of[path])}/{html.escape(path.name)}</b> {how}"
            shown.append(html.picture(_pixels(path), caption, side=480))
    return html.section(
        f"There twice: {len(ordered)} pair{'s' if len(ordered) > 1 else ''}",
        f'<div class="pictures">{"".join(shown)}</div>',
        note="The first pairs side by side. A picture in two splits makes the evaluation look "
        "better than the detector is.",
    )


def _faulty(checked: Checked) -> str:
    # Faults of label files are those of their images; twins have pictures of their own.
    of_files: dict[Path, list[Fault]] = {}
    for fault in checked.faults:
        if "leak" not in fault.kind and fault.kind != "duplicated image":
            of_files.setdefault(fault.file, []).append(fault)
    images = [i for s in checked.dataset.splits for i in s.images if i.path in checked.sizes]
    shown: list[str] = []
    for image in images:
        faults = {*image.faults, *of_files.get(image.path, ())}
        if faults and len(shown) < _SHOWN_FAULTY:
            texts = sorted(f"{fault.kind}: {fault.text}" for fault in faults)
            shown.append(_labelled(checked, image, "<br>".join(map(html.escape, texts[:3]))))
    if not shown:
        return ""
    return html.section(
        "Images with faulty labels",
        f'<div class="pictures">{"".join(shown)}</div>',
        note="With the labels that could be read.",
    )


def _samples(checked: Checked) -> str:
    shown = []
    for split in checked.dataset.splits:
        readable = [i for i in split.images if i.path in checked.sizes and len(i.class_ids)]
        step = max(len(readable) // _SAMPLES_PER_SPLIT, 1)
        for image in readable[::step][:_SAMPLES_PER_SPLIT]:
            shown.append(_labelled(checked, image, html.escape(split.name)))
    return html.section(
        "Samples",
        f'<div class="pictures">{"".join(shown)}</div>',
        note="Do the boxes sit where they should, and are they of the right class?",
    )


def _labelled(checked: Checked, image: LabelledImage, text: str) -> str:
    boxes = [
        html.Box(
            tuple(box),
            html.COLORS[class_id % len(html.COLORS)],
            checked.dataset.names[class_id],
            thick=True,
        )
        for box, class_id in zip(
            image.boxes_in_pixels(checked.sizes[image.path]).tolist(),
            image.class_ids.tolist(),
            strict=True,
        )
    ]
    caption = f"<b>{html.escape(image.path.name)}</b> {text}"
    return html.picture(_pixels(image.path), caption, boxes)


def _pixels(path: Path) -> html.UInt8Array:
    return pixels_of(path, MAX_PIXELS)


def _table(columns_rows: tuple[tuple[str, ...], list[tuple[str, ...]]]) -> str:
    return html.table(*columns_rows)


def _figures(svgs: Iterable[str]) -> str:
    return f'<div class="figures">{"".join(f"<div>{svg}</div>" for svg in svgs)}</div>'
