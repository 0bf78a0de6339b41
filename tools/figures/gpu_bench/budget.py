"""Draw where the time of a frame went, a bar for each case of a run.

    PYTHONPATH=tools python tools/figures/gpu_bench/budget.py gpu.json budget.png

Apart from the run, because a GPU machine may have no Matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tridet_bench.picture import Bar, draw_bars


def bars_of(report: dict[str, Any]) -> list[Bar]:
    """Return the cases of the best setup: every load, then half of the most that it sustained."""
    rows = [*report["transports"], *report["half_load"]]
    return [
        (f"{row['transport']}, {row['load']}", row["budget_ms"]) for row in rows if row["budget_ms"]
    ]


if __name__ == "__main__":
    _, png = draw_bars(bars_of(json.loads(Path(sys.argv[1]).read_text())), "pcb, stand-in on a GPU")
    Path(sys.argv[2]).write_bytes(png)
