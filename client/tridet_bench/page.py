"""The run as one web page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from tridet_bench import html
from tridet_bench.picture import legend
from tridet_bench.run import Outcome
from tridet_bench.table import Table
from tridet_bench.tables import sentences, warnings


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
    key = "".join(
        f'<span><i style="border-color: {colour}"></i><b>{name}</b> {html.escape(meaning)}</span>'
        for name, colour, meaning in legend()
    )
    return html.page(
        f"tridet bench: {outcome.plan.target.model}",
        facts,
        [
            *(f'<p class="warning">{html.escape(note)}</p>' for note in notes),
            html.section(
                "Where the time goes",
                # Without the XML prologue, which has no place inside HTML.
                f'<div class="wide">{svg[svg.index(b"<svg") :].decode()}</div>',
                f'<div class="key">{key}</div>',
            ),
            *(
                html.section(
                    "Saturation", f"<pre>{html.escape(chr(10).join(sentences(found)))}</pre>"
                )
                for found in outcome.saturations
            ),
            *(
                html.section(
                    table.title,
                    html.table(table.columns, table.rows, text_columns=table.text_columns),
                )
                for table in tables
            ),
        ],
    )
