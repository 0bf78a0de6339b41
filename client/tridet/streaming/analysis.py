"""What is made of the detections of a stream: tracks, counts in zones, crossings of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tridet.detections import Detections, UInt8Array
from tridet.extras import require
from tridet.streaming.frames import Event, Frame, StreamResult
from tridet.streaming.tracking import REMEMBERED_S, Tracker
from tridet.streaming.zones import Areas, Line, Zone, draw_areas, inside

Counts = dict[str, dict[str, int]]


class Analysis:
    """Tracks and counts, of every source apart.

    Args:
        tracking: give the detections track ids. A source with lines gets them in any case, because
            crossing a line takes two frames.
        zones, lines: of every source.
        areas_by_source: further zones and lines, by the name of their source.

    Raises:
        InvalidInput: two areas of a source share a name.
        MissingExtra: what tracking needs is not installed.
    """

    def __init__(
        self,
        tracking: bool = False,
        zones: Iterable[Zone] = (),
        lines: Iterable[Line] = (),
        areas_by_source: Mapping[str, Areas] | None = None,
    ) -> None:
        self._tracking = tracking
        self._areas = Areas(tuple(zones), tuple(lines))
        self._areas_by_source = {
            source: Areas(self._areas.zones + own.zones, self._areas.lines + own.lines)
            for source, own in (areas_by_source or {}).items()
        }
        if tracking or any(a.lines for a in (self._areas, *self._areas_by_source.values())):
            require("track", "trackers", "supervision")
        self._sources: dict[str, _SourceAnalysis] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to track or to count."""
        areas = (self._areas, *self._areas_by_source.values())
        return not self._tracking and not any(one.zones or one.lines for one in areas)

    def update(
        self, source_name: str, frame: Frame, detections: Detections
    ) -> tuple[Detections, Counts, tuple[Event, ...]]:
        """Return the detections with track ids, the counts after this frame, and its events.

        Frames of one source are given in their order, one at a time.

        Raises:
            InvalidInput: the first frame of a source shows that a zone or line lies outside it.
        """
        if source_name not in self._sources:
            areas = self._areas_by_source.get(source_name, self._areas)
            areas = areas.in_fractions(detections.image_size)
            self._sources[source_name] = _SourceAnalysis(areas, self._tracking)
        return self._sources[source_name].update(frame, detections)

    def draw(self, result: StreamResult) -> UInt8Array:
        """Return the frame, uint8 [h, w, 3] BGR, with zones, lines, counts, boxes and track ids.

        May be called in any thread: it shows the counts of that result.
        """
        pixels = result.frame.pixels
        source = self._sources.get(result.frame.source)
        if source is not None:
            pixels = draw_areas(pixels, source.areas, result.counts)
        return result.detections.annotate(pixels)


class _SourceAnalysis:
    def __init__(self, areas: Areas, tracking: bool) -> None:
        self.areas = areas  # in fractions of the frame
        self._tracker = Tracker() if tracking or areas.lines else None
        self._crossings = [_Crossings(line) for line in areas.lines]
        self._seen: dict[int, _Seen] = {}

    def update(
        self, frame: Frame, detections: Detections
    ) -> tuple[Detections, Counts, tuple[Event, ...]]:
        boxes = detections.boxes / np.array(detections.image_size * 2)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        counts: Counts = {}
        for zone in self.areas.zones:
            rows = np.flatnonzero(inside(zone, centres))
            counts[zone.name] = dict(Counter(detections.names[row] for row in rows))
        events: list[Event] = []
        if self._tracker is not None:
            detections = self._tracker.update(frame, detections)
            self._remember(detections, boxes, self._tracker.now_s)
            for crossings in self._crossings:
                events += crossings.update(self._seen)
                counts[crossings.line.name] = crossings.counts()
        return detections, counts, tuple(events)

    def _remember(self, detections: Detections, boxes: Any, now_s: float) -> None:
        """Keep where every track was last seen.

        A line forgets at once on which side an object was that is not shown to it, so a detection
        that is missing for two frames would cost a crossing.
        """
        for found, box in zip(detections, boxes, strict=True):
            if found.track_id is not None:
                self._seen[found.track_id] = _Seen(now_s, box, found.class_id, found.name)
        self._seen = {
            track: seen for track, seen in self._seen.items() if now_s - seen.at_s <= REMEMBERED_S
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    at_s: float
    box: Any  # float64 [4], xyxy in fractions of the frame
    class_id: int
    label: str


@dataclass
class _Crossings:
    """The counter of one line, in fractions of the frame."""

    line: Line
    _zone: Any = field(init=False)

    def __post_init__(self) -> None:
        from supervision import LineZone, Point, Position

        start, end = (Point(*point) for point in self.line.points)
        self._zone = LineZone(start, end, triggering_anchors=[Position.CENTER])

    def counts(self) -> dict[str, int]:
        """Return how many crossed so far, by direction."""
        return {"in": self._zone.in_count, "out": self._zone.out_count}

    def update(self, seen: Mapping[int, _Seen]) -> list[Event]:
        """Count the tracks that are on another side now."""
        from supervision import Detections as Tracked

        if not seen:
            return []
        tracks = list(seen)
        shown = Tracked(
            xyxy=np.array([seen[track].box for track in tracks]),
            class_id=np.array([seen[track].class_id for track in tracks]),
            tracker_id=np.array(tracks),
        )
        went_in, went_out = self._zone.trigger(shown)
        return [
            Event(
                "line",
                self.line.name,
                {
                    "direction": "in" if went_in[row] else "out",
                    "class": seen[track].label,
                    "track_id": track,
                },
            )
            for row, track in enumerate(tracks)
            if went_in[row] or went_out[row]
        ]
