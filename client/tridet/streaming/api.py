"""``tridet.stream`` and the ``Stream`` it returns: a run in the background, to iterate over."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tridet.async_detector import AsyncDetector
from tridet.channel import TLS
from tridet.extras import require
from tridet.streaming.assembly import (
    Location,
    StreamOptions,
    analysis_from,
    pipeline_of,
    sources_from,
)
from tridet.streaming.frames import StreamResult
from tridet.streaming.limits import DEFAULT_SERVER_WAIT_S, Limits
from tridet.streaming.outbox import Outbox
from tridet.streaming.pipeline import Pipeline
from tridet.streaming.sources import Policy, RtspTransport
from tridet.streaming.stats import Snapshot
from tridet.transports import Transport

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from tridet.options import Thresholds


def stream(
    sources: Location | Iterable[Location],
    *,
    url: str = "localhost:8001",
    model: str = "pcb",
    policy: Policy | None = None,
    max_fps: float | None = None,
    rtsp_transport: RtspTransport | None = None,
    max_age_s: float | None = None,
    in_flight: int | None = None,
    duration_s: float | None = None,
    track: bool = False,
    zones: str | Iterable[str] = (),
    lines: str | Iterable[str] = (),
    transport: Transport = "auto",
    timeout_s: float = 10.0,
    server_wait_s: float = DEFAULT_SERVER_WAIT_S,
    tls: TLS | None = None,
    **thresholds: Unpack[Thresholds],
) -> Stream:
    """Detect in video files, network streams and cameras, many at once.

    Args:
        sources: one or many: paths, URLs (rtsp, rtmp, http, ...) or numbers of USB cameras.
            ``${NAME}`` in them stands for an environment variable.
        url: as of ``Detector``, and so are ``model``, ``transport``, ``timeout_s`` and ``tls``.
        policy: ``latest`` drops the frames that a newer one overtakes, and a file plays at its own
            speed; ``all`` drops none, and the source waits. By default ``latest`` for what is live
            and ``all`` for files.
        max_fps: drop what comes faster.
        rtsp_transport: ``tcp``, the default, or ``udp``.
        max_age_s: a frame older than this is not sent, and the server refuses one that would get
            older in its queue. By default 1 with the policy ``latest`` and without limit for
            ``all``.
        in_flight: frames of one source that are under way at a time, 2 with the policy ``latest``
            and 8 for ``all`` by default. More of them fill a long line to the server, and make
            results older where the server is the bottleneck.
        duration_s: stop after so many seconds.
        track: give the detections track ids.
        zones: ``NAME=x1,y1,x2,y2,x3,y3,...``, polygons in pixels or fractions of the frame.
        lines: ``NAME=x1,y1,x2,y2``; they turn ``track`` on.
        server_wait_s: how long the frames of a policy ``all`` wait for a server that has gone.
            Those of ``latest`` are dropped meanwhile, and come again with the server.
        **thresholds: conf, iou, max_det, classes, agnostic, imgsz, tiles, overlap.

    Returns:
        An iterator and async iterator of results, in order for each source.

    Raises:
        InvalidInput: an argument is not acceptable.
        MissingExtra: PyAV, or what ``track`` and ``lines`` need, is not installed.

    Examples:
        >>> with tridet.stream(["rtsp://cam1/main", "rtsp://cam2/main"], model="pcb") as results:
        ...     for result in results:
        ...         print(result.frame.source, result.latency_s, len(result.detections))
    """
    require("stream", "av")
    options = StreamOptions(
        policy=policy,
        max_fps=max_fps,
        rtsp_transport=rtsp_transport,
        track=track,
        zones=_listed(zones),
        lines=_listed(lines),
        limits=Limits(in_flight, max_age_s, timeout_s, server_wait_s, duration_s),
    )
    locations = [sources] if isinstance(sources, (str, int, os.PathLike)) else sources
    found = sources_from(locations, options)
    analysis = analysis_from(options)
    detector = AsyncDetector(
        url, model, transport=transport, timeout_s=timeout_s, retries=0, tls=tls, **thresholds
    )
    outbox = Outbox()
    pipeline = pipeline_of(found, detector, options.limits, [outbox], analysis, on_end=outbox.close)
    return Stream(pipeline, outbox)


def _listed(texts: str | Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


class Stream:
    """The results of one or many sources; made by ``tridet.stream``.

    Iterate over it with ``for`` or ``async for``, once. Capture and detection run in threads of
    their own, from the first step or ``with`` until the iteration or the block ends. A loop that is
    too slow for a live source gets its newest results; a file waits for the loop.

    A source that fails for good does not end the others. When the last source has ended, the error
    of each that failed is raised, naming it.
    """

    def __init__(self, pipeline: Pipeline, outbox: Outbox) -> None:
        self._pipeline = pipeline
        self._outbox = outbox
        self._ended = False
        # Also where it is never closed: at garbage collection, or at exit.
        self._stop = weakref.finalize(self, _stop, pipeline, outbox)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamResult:
        self._pipeline.start()
        result = self._outbox.get()
        if result is None:
            self._end()
            raise StopIteration
        return result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamResult:
        self._pipeline.start()
        result = await self._outbox.get_async()
        if result is None:
            self._end()
            raise StopAsyncIteration
        return result

    def stats(self) -> list[Snapshot]:
        """Return the numbers of every source as they stand."""
        return self._pipeline.snapshots()

    def close(self) -> None:
        """Stop; the results that still wait are discarded."""
        self._ended = True
        self._stop()

    def __enter__(self) -> Self:
        self._pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._pipeline.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._pipeline.raise_errors()


def _stop(pipeline: Pipeline, outbox: Outbox) -> None:
    outbox.clear()
    pipeline.stop()
    pipeline.join(5.0)
