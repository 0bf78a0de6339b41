"""A real RTSP server that records what is published to it: GStreamer's, in the system's Python.

Needs: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good
gstreamer1.0-plugins-bad
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SYSTEM_PYTHON = "/usr/bin/python3"


class Recorder:
    """Takes streams at ``rtsp://127.0.0.1:PORT/NAME`` and writes them to ``folder/NAME-N.mkv``.

    Args:
        names: the paths that it takes streams at.
        port: 0 for any that is free.
        login: the user and password that it asks for.
    """

    def __init__(
        self,
        folder: Path,
        names: tuple[str, ...],
        *,
        port: int = 0,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._arguments = [str(folder), str(port), ":".join(login or ()), *names]
        self.port = port

    def __enter__(self) -> Recorder:
        self._process = subprocess.Popen(
            [_SYSTEM_PYTHON, __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        assert line, "the RTSP recorder did not start; see the packages that this file names"
        self.port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def url(self, name: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{name}"

    def recordings(self, name: str) -> list[Path]:
        """The files of one stream, one for each time that it was published."""
        return sorted(self.folder.glob(f"{name}-*.mkv"))


def _serve(folder: str, port: str, login: str, *names: str) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    if login:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "camera")
        auth = GstRtspServer.RTSPAuth()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login.split(":")), token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        server.set_auth(auth)
    for name in names:
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.set_launch(
            "( rtph264depay name=depay0 ! h264parse ! matroskamux streamable=true ! filesink "
            "name=file sync=false buffer-mode=unbuffered )"
        )
        if login:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("camera", "media.factory.access", True)
            permissions.add_permission_for_role("camera", "media.factory.construct", True)
            factory.set_permissions(permissions)

        def configure(_factory, media, name=name) -> None:
            number = len(list(Path(folder).glob(f"{name}-*.mkv")))
            target = media.get_element().get_by_name("file")
            target.set_property("location", str(Path(folder) / f"{name}-{number}.mkv"))

        factory.connect("media-configure", configure)
        server.get_mount_points().add_factory(f"/{name}", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    # Ends with the test that started it, however that ends.
    GLib.io_add_watch(0, GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
