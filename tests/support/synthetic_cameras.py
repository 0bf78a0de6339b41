"""Cameras that need no network: a window that pans over a sample board, and where its faults are.

They give what the engine gives to sinks: results and numbers.
"""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from tridet.detections import Detections
from tridet.streaming.frames import Frame, StreamResult
from tridet.streaming.stats import Drop, Snapshot, SourceStats, State

SAMPLES = Path(__file__).parents[2] / "models/pcb/samples"


class SyntheticCamera:
    """One camera.

    Args:
        name: of the source.
        size: (width, height) of its frames in pixels.
        board: which of the samples it looks at.
    """

    def __init__(self, name: str, size: tuple[int, int] = (640, 360), board: int = 0) -> None:
        samples = json.loads((SAMPLES / "annotations.json").read_text())
        image = samples["images"][board % len(samples["images"])]
        self.stats = SourceStats(name)
        self.stats.enter(State.LIVE)
        self._index = 0
        self._board = cv2.imread(str(SAMPLES / image["file_name"]))
        self._labels = tuple(category["name"] for category in samples["categories"])
        ids = [category["id"] for category in samples["categories"]]
        found = [a for a in samples["annotations"] if a["image_id"] == image["id"]]
        boxes = np.array([a["bbox"] for a in found], np.float32).reshape(-1, 4)
        self._boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        self._class_ids = np.array([ids.index(a["category_id"]) for a in found], np.int32)
        # So that the window has room to move.
        scale = max(1.0, *(1.3 * np.array(size) / self._board.shape[1::-1]))
        self._board = cv2.resize(self._board, None, fx=scale, fy=scale)
        self._boxes *= np.float32(scale)
        self._size = size

    def next(self) -> StreamResult:
        """Return the next frame, its faults found."""
        width, height = self._size
        room = np.array(self._board.shape[1::-1]) - self._size
        phase = self._index / 40
        share = (0.5 + 0.5 * math.sin(phase), 0.5 + 0.5 * math.cos(0.7 * phase))
        left, top = (room * share).astype(int)
        pixels = self._board[top : top + height, left : left + width]
        boxes = np.clip(self._boxes - [left, top, left, top], 0, [width, height, width, height])
        inside = (boxes[:, 2] - boxes[:, 0] > 8) & (boxes[:, 3] - boxes[:, 1] > 8)
        now_s = time.monotonic()
        frame = Frame(self.stats.source, self._index, None, time.time(), now_s, pixels)
        scores = np.linspace(0.95, 0.6, int(inside.sum()))
        detections = Detections(
            boxes[inside], scores, self._class_ids[inside], self._labels, self._size
        )
        latency_s = 0.04 + 0.02 * (self._index % 7) / 7
        self._index += 1
        self.stats.received()
        if self._index % 9 == 0:
            self.stats.dropped(Drop.NEWER)
        self.stats.delivered(latency_s)
        return StreamResult(frame, detections, latency_s)


class Studio:
    """Runs cameras and gives their results to a sink; a context manager."""

    def __init__(self, cameras: list[SyntheticCamera], fps: float = 25.0) -> None:
        self.cameras = cameras
        self._period_s = 1 / fps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="studio")
        self.sink = None

    def snapshots(self) -> list[Snapshot]:
        """Return the numbers of all cameras."""
        return [camera.stats.snapshot() for camera in self.cameras]

    def show_to(self, sink) -> Studio:
        """Say which sink gets the results."""
        self.sink = sink
        return self

    def __enter__(self) -> Studio:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            for camera in self.cameras:
                if camera.stats.state is State.LIVE:
                    self.sink.write(camera.next())
