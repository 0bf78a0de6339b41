"""One HTML file that needs no other: style, figures and pictures are inside it.

The page and its parts are those of ``tridet bench``.
"""

from tridet_bench.html import cards, escape, page, section, table

from .figures import COLORS, figure_svg, new_figure, styled
from .pictures import Box, UInt8Array, picture

__all__ = [
    "COLORS",
    "Box",
    "UInt8Array",
    "cards",
    "escape",
    "figure_svg",
    "new_figure",
    "page",
    "picture",
    "section",
    "styled",
    "table",
]
