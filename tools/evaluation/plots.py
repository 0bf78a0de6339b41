"""The figures of a report, each an ``<svg>``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from html_report import COLORS, figure_svg, new_figure, styled

from .results import ClassFigures, Results

# More lines than this say nothing; then only the mean is drawn strongly.
_MOST_LINES = len(COLORS)


@styled
def precision_recall(results: Results) -> str:
    """Draw precision by recall at IoU 0.5, a line per class and their mean."""
    known = [each for each in results.classes if each.objects]
    figure, axes = new_figure()
    x = np.linspace(0, 1, 101)
    _lines(axes, x, known, "precision_by_recall", lambda each: f"{each.name}  {each.ap50:.3f}")
    mean = np.mean([each.precision_by_recall for each in known], axis=0)
    axes.plot(x, mean, color="#1c2430", lw=2.2, label=f"mean  {results.map50:.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03))
    axes.set_title("Precision by recall, IoU 0.5")
    axes.legend(loc="lower left")
    return figure_svg(figure)


@styled
def f1_by_confidence(results: Results) -> str:
    """Draw F1 by confidence, with the best and the model's own confidence."""
    known = [each for each in results.classes if each.objects]
    figure, axes = new_figure()
    x = np.linspace(0, 1, 101)
    _lines(axes, x, known, "f1_by_conf", lambda each: each.name)
    axes.plot(x, np.mean([each.f1_by_conf for each in known], axis=0), color="#1c2430", lw=2.2)
    for point, name, style in ((results.best, "best", "-"), (results.served, "default", ":")):
        label = f"{name} {point.conf:.2f}: F1 {point.f1:.3f}"
        axes.axvline(point.conf, color="#667085", lw=1.2, ls=style, label=label)
    axes.set(xlabel="confidence", ylabel="F1", xlim=(0, 1), ylim=(0, 1.03))
    axes.set_title("F1 by confidence")
    axes.legend(loc="lower center")
    return figure_svg(figure)


@styled
def per_class_ap(results: Results) -> str:
    """Draw AP50-95 and AP50 of each class as bars, the weakest on top."""
    known = sorted((e for e in results.classes if e.objects), key=lambda e: -(e.ap50_95 or 0))
    figure, axes = new_figure(height=max(2.4, 0.9 + 0.34 * len(known)))
    y = np.arange(len(known))
    axes.barh(y, [e.ap50 for e in known], color="#cfe3ef", height=0.7, label="AP50")
    axes.barh(y, [e.ap50_95 for e in known], color=COLORS[0], height=0.42, label="AP50-95")
    axes.set_yticks(y, [e.name for e in known])
    for place, each in zip(y, known, strict=True):
        axes.text(0.012, place, f"{each.ap50_95:.3f}", va="center", color="white", fontsize=9)
    axes.set(xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    axes.set_title("Average precision by class")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
    return figure_svg(figure)


@styled
def confusion(results: Results) -> str:
    """Draw the confusion matrix; colours go by the share of a row, numbers are counts."""
    counts = np.array(results.confusion)
    labels = results.confusion_labels
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 1.9 + 0.52 * len(labels))
    figure, axes = new_figure(side, side * 0.86)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.set_xticks(range(len(labels)), [*labels[:-1], "missed"], rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), [*labels[:-1], "nothing there"])
    axes.set(xlabel="found as", ylabel="really")
    if len(labels) <= 30:  # beyond that numbers run into each other
        for row, column in np.argwhere(counts):
            color = "white" if share[row, column] > 0.55 else "#1c2430"
            text = str(counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=9)
    axes.set_title(f"Confusion at confidence {results.served.conf:.2f}, IoU 0.5")
    return figure_svg(figure)


@styled
def compared_curves(runs: Sequence[Results]) -> list[str]:
    """Draw the mean precision by recall, and the mean F1 by confidence, of several runs."""
    x = np.linspace(0, 1, 101)
    drawn = []
    for field, title, xlabel, ylabel in (
        ("precision_by_recall", "Mean precision by recall, IoU 0.5", "recall", "precision"),
        ("f1_by_conf", "Mean F1 by confidence", "confidence", "F1"),
    ):
        figure, axes = new_figure()
        for number, run in enumerate(runs):
            mean = np.mean([getattr(e, field) for e in run.classes if e.objects], axis=0)
            axes.plot(x, mean, color=COLORS[number % len(COLORS)], lw=1.8, label=run.name)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.03))
        axes.set_title(title)
        axes.legend(loc="lower center")
        drawn.append(figure_svg(figure))
    return drawn


def _lines(axes: Any, x: Any, known: Sequence[ClassFigures], field: str, label: Any) -> None:
    many = len(known) > _MOST_LINES
    for number, each in enumerate(known):
        color = "#c8ced8" if many else COLORS[number]
        text = None if many else label(each)
        axes.plot(x, getattr(each, field), color=color, lw=1.1, label=text)
