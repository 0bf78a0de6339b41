"""``tridet.stream``. What needs PyAV is imported when it is called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tridet.async_detector import AsyncDetector
from tridet.channel import TLS
from tridet.streaming.engine import DEFAULT_SERVER_WAIT_S, Limits
from tridet.streaming.outbox import Outbox
from tridet.streaming.stream import Stream
from tridet.transports import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tridet.options import Thresholds
    from tridet.streaming.assembly import Location
    from tridet.streaming.sources import Policy, RtspTransport


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
        url, model, transport, timeout_s, tls: see ``Detector``.
        policy: ``latest`` drops the frames that a newer one overtakes; ``all`` drops none, and the
            source waits. By default ``latest`` for what is live and ``all`` for files.
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
        InvalidInput: an argument is not acceptable, or PyAV is not installed.

    Example:
        >>> with tridet.stream(["rtsp://cam1/main", "rtsp://cam2/main"], model="pcb") as results:
        ...     for result in results:
        ...         print(result.frame.source, result.latency_s, len(result.detections))
    """
    from tridet.streaming.assembly import analysis_from, pipeline_of, sources_from

    listed = [sources] if isinstance(sources, (str, int, os.PathLike)) else sources
    found = sources_from(listed, policy=policy, max_fps=max_fps, rtsp_transport=rtsp_transport)
    analysis = analysis_from(track, _listed(zones), _listed(lines))
    limits = Limits(in_flight, max_age_s, timeout_s, server_wait_s, duration_s)
    detector = AsyncDetector(
        url, model, transport=transport, timeout_s=timeout_s, retries=0, tls=tls, **thresholds
    )
    outbox = Outbox()
    return Stream(
        pipeline_of(found, detector, limits, [outbox], analysis, on_end=outbox.close), outbox
    )


def _listed(texts: str | Iterable[str]) -> Iterable[str]:
    return [texts] if isinstance(texts, str) else texts
