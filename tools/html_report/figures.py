"""Matplotlib figures as inline SVG."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

# Okabe and Ito's, which people with any kind of colour blindness can tell apart, then more.
COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f3c8d",
    "#8c8c00",
    "#4d4d4d",
    "#a52a2a",
)
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: sharp, searchable and small
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#98a2b3",
    "axes.labelcolor": "#475467",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#eaecf0",
    "axes.axisbelow": True,
    "xtick.color": "#667085",
    "ytick.color": "#667085",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function that draws do so in the page's style, which matplotlib applies as it draws."""

    @functools.wraps(draw)
    def with_style(*arguments: P.args, **options: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*arguments, **options)

    return with_style


def new_figure(width: float = 6.2, height: float = 4.0) -> tuple[Figure, Any]:
    """Return a figure, sides in inches, and its axes. To be used in ``styled`` functions."""
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def figure_svg(figure: Figure) -> str:
    """Return it as an ``<svg>`` element that refers to nothing outside."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing, transparent=True)
    whole = text.getvalue()
    # Without the XML declaration and the document type, which HTML does not have in its middle.
    return whole[whole.index("<svg") :]
