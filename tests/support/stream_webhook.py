"""A real HTTP server for ``--webhook``: keeps what is posted, answers when it is let."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOON_S = 20


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted; answers with ``status``, once it is let."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.location: str | None = None
        """Where an answer sends the client, if anywhere."""
        self.posts: list[tuple[str, dict, dict]] = []
        self.go = threading.Event()
        self.go.set()
        self.arrived = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}/services/T0/s3cret?x=1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), json.loads(content)))
        self.server.arrived.release()
        self.server.go.wait(SOON_S)
        self.send_response(self.server.status)
        if self.server.location is not None:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.posts.append((self.path, dict(self.headers), {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()
