"""The run as a picture: a bar per case for the frame's budget, and latency over the rate."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tridet_bench.budget import LATE, MEANINGS, OTHER, SEGMENTS, WIRE
from tridet_bench.run import Outcome
from tridet_bench.saturation import Saturation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Client blue, wire and waiting grey and yellow, server's work warm: to tell apart for everyone
# (Okabe and Ito), and in grey print by their order.
_COLOURS = {
    LATE: "#999999",
    "prepare": "#56B4E9",
    "client": "#0072B2",
    WIRE: "#D0D0D0",
    "preprocess": "#009E73",
    "queue": "#F0E442",
    "detector": "#D55E00",
    "nms": "#CC79A7",
    OTHER: "#444444",
}
_WIDTH_INCHES = 10.0
_BAR_INCHES = 0.34
_FRAME_INCHES = 1.5
_CURVE_INCHES = 3.6
_DPI = 120


Bar: TypeAlias = tuple[str, Mapping[str, float]]
"""A case's label, and its budget: SEGMENTS to milliseconds."""


def draw(outcome: Outcome) -> tuple[bytes, bytes]:
    """Return the picture as SVG and as PNG."""
    bars = [(result.case.label, result.budget_ms) for result in outcome.results if result.budget_ms]
    return draw_bars(bars, outcome.plan.target.model, outcome.saturations)


def draw_bars(
    bars: Sequence[Bar], model: str, saturations: Sequence[Saturation] = ()
) -> tuple[bytes, bytes]:
    """Return the budgets of some cases, and the searches below them, as SVG and as PNG."""
    import matplotlib
    from matplotlib.figure import Figure

    heights = [_FRAME_INCHES + _BAR_INCHES * len(bars)] + [_CURVE_INCHES] * len(saturations)
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_budget(panels[0], bars, model)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=len(SEGMENTS),
        frameon=False,
        fontsize=8,
        handlelength=1.0,
        columnspacing=1.2,
    )
    for panel, saturation in zip(panels[1:], saturations, strict=True):
        _draw_curve(panel, saturation)
    svg, png = io.BytesIO(), io.BytesIO()
    # Text stays text, so that it can be searched; the same run gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tridet"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=_DPI)
    return svg.getvalue(), png.getvalue()


def _draw_budget(axes: Axes, bars: Sequence[Bar], model: str) -> None:
    rows = range(len(bars))
    lefts = [0.0] * len(bars)
    for segment in SEGMENTS:
        widths = [budget[segment] for _, budget in bars]
        axes.barh(rows, widths, left=lefts, color=_COLOURS[segment], label=segment, height=0.7)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    longest = max(lefts, default=1.0)
    for row, total in zip(rows, lefts, strict=True):
        axes.text(total + longest * 0.008, row, f"{total:.1f}", va="center", fontsize=8)
    axes.set_yticks(rows, [name for name, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.08)
    axes.set_xlabel("ms, mean per frame, from the intended send time to its boxes")
    axes.set_title(f"Where the time of a frame goes: {model}", loc="left")
    _tidy(axes)


def _draw_curve(axes: Axes, saturation: Saturation) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    knee = saturation.knee
    points = sorted(knee.points, key=lambda point: point.offered)
    for name, marker, colour in (("p99_ms", "o", "#D55E00"), ("p50_ms", "s", "#0072B2")):
        shown: list[tuple[float, Any]] = [
            (point.offered, getattr(point, name))
            for point in points
            if getattr(point, name) is not None
        ]
        if shown:
            axes.plot(*zip(*shown, strict=True), marker, label=name[:3], color=colour, markersize=5)
    axes.axhline(knee.limit_ms, color="#999999", linewidth=1, linestyle="--", label="p99 limit")
    if knee.sustained is not None:
        axes.axvline(knee.sustained.offered, color="#009E73", linewidth=1, label="sustained")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("offered, frames/s (Poisson arrivals)")
    axes.set_ylabel("latency, ms")
    axes.set_title(f"Until saturation: {saturation.workload.label}", loc="left")
    axes.legend(frameon=False, fontsize=8)
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def legend() -> list[tuple[str, str, str]]:
    """Return name, colour and meaning of each segment."""
    return [(name, _COLOURS[name], MEANINGS[name]) for name in SEGMENTS]
