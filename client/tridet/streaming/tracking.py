"""Tracks: which detections of successive frames are one object. ByteTrack, of one source."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tridet.detections import Detections
from tridet.streaming.frames import Frame

REMEMBERED_S = 1.0
"""How long an object may go unseen and still be the same track."""

# All that the detector's ``conf`` lets through may become a track, as with the trackers of
# Ultralytics; ByteTrack's own 0.6 and 0.7 suit detectors of people alone.
_CONF = 0.25
# The tracker's noise is tuned for pixels of frames about so many wide.
_UNITS = 1000.0
# ByteTrack counts time in frames of this rate; the true times of the frames are given beside it.
_FRAMES_PER_S = 30.0


class Tracker:
    """The tracks of one source; its frames are given in their order."""

    def __init__(self) -> None:
        from trackers import ByteTrackTracker

        self._tracker: Any = ByteTrackTracker(
            frame_rate=_FRAMES_PER_S,
            lost_track_buffer=round(REMEMBERED_S * _FRAMES_PER_S),
            track_activation_threshold=_CONF,
            high_conf_det_threshold=_CONF,
        )
        self.now_s = 0.0
        """Of the last frame."""

    def update(self, frame: Frame, detections: Detections) -> Detections:
        """Return the detections with their track ids; -1 for those that are no track yet."""
        import supervision as sv

        self.now_s = frame.pts_s
        found = sv.Detections(
            xyxy=_on_planes(detections),
            confidence=detections.scores.copy(),
            class_id=detections.class_ids.astype(int),
            data={"row": np.arange(len(detections))},  # the tracker changes the order
        )
        tracked = self._tracker.update(found, timestamp=self.now_s)
        ids = np.full(len(detections), -1, np.int32)
        if len(tracked):
            ids[tracked.data["row"]] = tracked.tracker_id
        return replace(detections, track_ids=ids)


def _on_planes(detections: Detections) -> npt.NDArray[np.float64]:
    """Return the boxes, float64 [n, 4], scaled to one size of frame and those of each class apart.

    So a change of resolution breaks no track, and boxes of two classes are never one.
    """
    width, height = detections.image_size
    boxes = detections.boxes.astype(np.float64) * (_UNITS / np.array([width, height] * 2))
    boxes[:, [0, 2]] += 10 * _UNITS * detections.class_ids[:, None]
    return boxes
