"""A result as plain values, for a line of JSON."""

from __future__ import annotations

from typing import Any

from tridet.streaming.frames import StreamResult
from tridet.timestamps import utc_text


def to_record(result: StreamResult) -> dict[str, Any]:
    """Return plain values that ``json.dumps`` takes.

    ``captured_at`` is ISO 8601 in UTC; the rest is as in ``Detections.to_dict`` and
    ``StreamResult``.
    """
    frame = result.frame
    found = result.detections.to_dict()
    return {
        "source": frame.source,
        "index": frame.index,
        "pts_s": round(frame.pts_s, 6),
        "captured_at": utc_text(frame.captured_at),
        "latency_ms": round(result.latency_s * 1000, 3),
        "width": found["width"],
        "height": found["height"],
        "detections": found["detections"],
        "counts": result.counts,
        "events": [
            {"kind": event.kind, "name": event.name, **event.details} for event in result.events
        ],
    }
