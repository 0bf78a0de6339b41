"""A web page that needs nothing else, and its parts, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape as escape

_STYLE = """
:root { --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --back: #f6f7f9; --accent: #0f766e; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 0 0 4px; }
pre { white-space: pre-wrap; background: var(--back); padding: 12px; border-radius: 6px; }
.sub, .note { color: var(--soft); margin: 0 0 16px; }
.note { max-width: 76ch; }
.warning { background: #fff4d6; border-left: 4px solid #e0a800; padding: 6px 12px; margin: 8px 0; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 20px 22px; margin-top: 18px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px;
  margin-top: 20px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.card b { display: block; font-size: 23px; font-weight: 650; letter-spacing: -.02em;
  line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; }
.card.bad b { color: #b42318; }
.card.warn b { color: #b54708; }
.card.good b { color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; color: var(--soft); font-weight: 600; font-size: 13px;
  border-bottom: 1px solid var(--line); padding: 6px 10px; white-space: nowrap; }
td { text-align: right; border-bottom: 1px solid var(--line); padding: 6px 10px; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child, .text { text-align: left; white-space: pre-line; }
td.text { overflow-wrap: anywhere; min-width: 9em; }
.best { font-weight: 700; color: var(--accent); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 12px;
  margin-top: 14px; align-items: start; }
.figures svg, .wide svg { width: 100%; height: auto; }
.pictures { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); }
.pictures.small { grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); }
figure { margin: 0; }
figure img { width: 100%; max-height: 400px; object-fit: contain; background: var(--back);
   border-radius: 6px; display: block; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 13px; padding-top: 5px; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
.key { display: flex; flex-wrap: wrap; gap: 16px; margin: 0 0 14px; font-size: 13px;
  color: var(--soft); }
.key i { display: inline-block; width: 16px; height: 11px; border: 3px solid; margin-right: 6px;
  vertical-align: -1px; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def page(title: str, subtitle: str, body: Iterable[str]) -> str:
    """Return the whole document; ``title`` and ``subtitle`` are plain text, ``body`` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="sub">{escape(subtitle)}</p>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str, note: str = "") -> str:
    """Return a titled box of HTML ``parts``; ``note`` is plain text below the title."""
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(parts)}</section>"


def cards(values: Iterable[tuple[str, str, str]]) -> str:
    """Return headline figures from (value, what it is, one of ``good warn bad`` or nothing)."""
    each = (
        f'<div class="card {tone}"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name, tone in values
    )
    return f'<div class="cards">{"".join(each)}</div>'


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
    best: Iterable[tuple[int, int]] = (),
) -> str:
    """Return a table of plain text.

    Args:
        columns: their names.
        rows: their cells.
        text_columns: how many from the left are text, which aligns left.
        best: (row, column) of the cells to stand out.
    """
    marked = set(best)

    def cell(tag: str, row: int, column: int, text: str) -> str:
        kinds = ["text"] * (column < text_columns) + ["best"] * ((row, column) in marked)
        css = f' class="{" ".join(kinds)}"' if kinds else ""
        return f"<{tag}{css}>{escape(text)}</{tag}>"

    head = "".join(cell("th", -1, column, name) for column, name in enumerate(columns))
    lines = "".join(
        f"<tr>{''.join(cell('td', row, column, text) for column, text in enumerate(cells))}</tr>"
        for row, cells in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'
