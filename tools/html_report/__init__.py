"""One HTML file that needs no other: style, figures and pictures are inside it."""

from .figures import COLORS, figure_svg, new_figure, styled
from .page import cards, escape, page, section, table
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
