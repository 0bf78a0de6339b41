"""The live page: every camera with its boxes and numbers, in a browser.

sink (keeps the newest result per source) → gallery (draws and compresses it when somebody looks)
→ hub (what each viewer asked for) → server (HTTP and one WebSocket per viewer, a thread)
→ static/ (the page)
"""

from tridet.streaming.web.sink import WebSink

__all__ = ["WebSink"]
