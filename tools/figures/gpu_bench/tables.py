"""The report's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tridet_bench.table import Table, number

from gpu_bench.plan import GpuBenchReport
from gpu_bench.verdict import best_row, ceiling_of


def ceiling_table(ceiling: dict[str, Any]) -> str:
    """The detector alone, and the machine's copies."""
    ways = ("compute", "upload")
    rates = ", ".join(f"{name} {gb:.1f} GB/s" for name, gb in ceiling["gb_per_s"].items())
    rows = [(str(row["batch"]), *(number(row[way], 0) for way in ways)) for row in ceiling["rows"]]
    title = f"Detector alone, images/s ({ceiling.get('gpu', 'CPU')}; {rates})"
    columns = ("batch", "on the device", "uploaded from pinned memory")
    return Table(title, columns, rows).markdown()


def cases_table(title: str, rows: Sequence[dict[str, Any]], report: GpuBenchReport) -> str:
    """Throughput, latency and what the processes used; a row a case."""
    most = ceiling_of(report)
    columns = (
        *("case", "pre/det/nms", "images/s", "% of detector", "p50 ms", "p99 ms", "batch"),
        *("cores: server", "pre", "det", "nms", "busiest client", "errors"),
    )
    return Table(title, columns, [_case(row, most) for row in rows]).markdown()


def _case(row: dict[str, Any], most: float | None) -> tuple[str, ...]:
    steps = {_role(name): step for name, step in row["steps"].items()}
    busy = {_role(name): cores for name, cores in row["cores"].items()}
    detector = steps.get("detector", {})
    flag = " (!)" if row["generator_limited"] else ""
    return (
        f"{row['transport']}, {row['load']}",
        row["setup"],
        number(row["throughput"], 0),
        number(most and 100 * row["throughput"] / most, 0),
        number(row["latency"]["p50_ms"]),
        number(row["latency"]["p99_ms"]),
        number(detector.get("batch"), 1),
        *(number(busy.get(role)) for role in ("tritonserver", "preprocess", "detector", "nms")),
        f"{row['busiest_client']:.2f}{flag}",
        ", ".join(f"{kind} {count}" for kind, count in row["errors"].items()) or "0",
    )


def limits_table(report: GpuBenchReport) -> str | None:
    """What each stage costs an image in the best case, and what its bytes alone would."""
    row = best_row(report)
    if row is None or report.ceiling is None:
        return None
    gb = report.ceiling["gb_per_s"]
    sent = _bytes_sent(row["transport"])
    moved_by = _bytes_moved(sent)
    counts = dict(zip(("preprocess", "detector", "nms"), row["setup"].split("/"), strict=True))
    lines = []
    for name, step in row["steps"].items():
        role = _role(name)
        moved = moved_by[role]
        # A request's time is that of its whole batch; only their shares can be told for an image.
        whole = sum(step[f"{part}_us"] for part in _PARTS) or 1.0
        for part, label in _PARTS.items():
            bound = moved[part] / gb["memcpy"] / 1e3
            micros = step["busy_us"] * step[f"{part}_us"] / whole
            lines.append(
                (f"{role}: {label}", number(micros, 0), _kb(moved[part]), number(bound, 0), "")
            )
        possible = int(counts[role]) * 1e6 / max(1e-9, step["busy_us"])
        lines.append((f"{role}: all", number(step["busy_us"], 0), "", "", number(possible, 0)))
        lines.append((f"{role}: a request waits", number(step["queue_us"], 0), "", "", ""))
    upload = _CANVAS / gb["upload"] / 1e3 if "upload" in gb else None
    bounds = {
        "upload": upload,
        "compute": 1e6 / max(line["compute"] for line in report.ceiling["rows"]),
        "answer": _CANDIDATES / gb["memcpy"] / 1e3,
    }
    for part, micros in row["standin_us"].items():
        lines.append(
            (f"in the stand-in: {part}", number(micros, 0), "", number(bounds[part], 0), "")
        )
    lines.append(("client CPU", number(row["client_cpu_us"], 0), _kb(sent), "", ""))
    title = f"What limits throughput: {row['transport']}, {row['load']}, {row['setup']}"
    columns = ("stage", "µs an image", "kB", "physical bound µs", "its instances could do images/s")
    return Table(title, columns, lines).markdown()


# A 1280x720 frame, the same fitted to 640, the letterboxed square, K candidates of 24 bytes.
_FRAME = 1280 * 720 * 3
_FITTED = 640 * 360 * 3
_CANVAS = 640 * 640 * 3
_CANDIDATES = 300 * 24
_PARTS = {
    "compute_input": "copy in",
    "compute_infer": "compute",
    "compute_output": "copy out",
}


def _bytes_sent(transport: str) -> int:
    """Return what a frame of this benchmark is when it enters the server, decoded."""
    return _FITTED if transport in ("auto", "fit") else _FRAME


def _bytes_moved(sent: int) -> dict[str, dict[str, int]]:
    return {
        "preprocess": {
            "compute_input": sent,
            "compute_infer": sent + _CANVAS,
            "compute_output": _CANVAS,
        },
        "detector": {
            "compute_input": _CANVAS,
            "compute_infer": _CANVAS,
            "compute_output": _CANDIDATES,
        },
        "nms": {"compute_input": _CANDIDATES, "compute_infer": _CANDIDATES, "compute_output": 0},
    }


def _role(name: str) -> str:
    if name.startswith("preprocess"):
        return "preprocess"
    return "detector" if name.endswith("_detector") else name


def _kb(count: int) -> str:
    return f"{count / 1e3:.0f}"
