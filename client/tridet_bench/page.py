"""The run as one web page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tridet_bench.picture import legend
from tridet_bench.run import Outcome
from tridet_bench.table import Table
from tridet_bench.tables import sentences, warnings

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
svg { max-width: 100%; height: auto }
.warning { background: #fff4d6; border-left: 4px solid #e0a800; padding: .4rem .8rem;
  margin: .5rem 0 }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em }
pre { white-space: pre-wrap; background: #f5f5f5; padding: .8rem }
"""


def page_from(outcome: Outcome, tables: Sequence[Table], svg: bytes) -> str:
    """Return the HTML."""
    machine = outcome.machine
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    facts = (
        f"{machine.date}; {machine.cpu}, {machine.cores} cores, "
        f"{outcome.busy_before:.1f} busy with other programs before the run; {versions}"
    )
    notes = warnings(outcome)
    if outcome.ended_early:
        notes.insert(0, f"The run ended early: {outcome.ended_early}")
    meanings = "".join(
        f'<li><span class="swatch" style="background:{colour}"></span>'
        f"<b>{name}</b>: {escape(meaning)}</li>"
        for name, colour, meaning in legend()
    )
    title = escape(f"tridet bench: {outcome.plan.target.model}")
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1><p>{escape(facts)}</p>",
            *(f'<p class="warning">{escape(note)}</p>' for note in notes),
            # Without the XML prologue, which has no place inside HTML.
            svg[svg.index(b"<svg") :].decode(),
            f"<ul>{meanings}</ul>",
            *(
                f"<h2>Saturation</h2><pre>{escape(chr(10).join(sentences(found)))}</pre>"
                for found in outcome.saturations
            ),
            *(table.html() for table in tables),
            "</body></html>\n",
        ]
    )
