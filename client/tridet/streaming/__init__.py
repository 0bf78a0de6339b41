"""Streams: many cameras and videos at once, always fresh, never hung.

capture (a thread per source) → mailbox (newest frame, or every one) → engine (asyncio, requests in
a bounded window, results in order per source) → analysis (tracks, zones, lines) → sinks (a thread
each)
"""
