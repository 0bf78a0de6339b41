"""Streams: many cameras and videos at once, always fresh, never hung.

A frame goes from a capture (a thread for each source) through its frame queue (the newest frame, or
every one) to a source worker (requests in a bounded window, results in order), through the analysis
(tracks, zones, lines) and to the sinks (a thread each). All source workers run on the event loop of
one engine. To look up:

* a reconnect delay is made in ``backoff.py``, for cameras and for ``--publish``;
* a frame is dropped in ``capture.py`` (corrupt, or more than ``max_fps``), ``frame_queue.py`` (a
  newer one came) or ``source_worker.py`` (too old, or the server did not take it); a result in
  ``sinks/base.py`` (its sink is too slow) or ``outbox.py`` (the caller is);
* how many requests may be at the server is found in ``throttle.py``;
* windows, ages, timeouts and their defaults stand in ``limits.py``.
"""
