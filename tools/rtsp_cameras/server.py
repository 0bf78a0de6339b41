"""The RTSP server itself; runs in the system's Python, where Debian installs GStreamer's bindings.

Reads JSON lines on stdin, the settings first, and answers each with one on stdout. Ends with stdin.
Needs: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

_ROLE = "viewer"
_PIPELINE = (
    "( appsrc name=source is-live=true do-timestamp=true format=time "
    "caps=video/x-h264,stream-format=byte-stream,alignment=au "
    "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
_POLL_MS = 8
# After a pause the camera goes on with now, and sends no more than this of what it missed.
_CATCH_UP_FRAMES = 5


class Clip:
    """An encoded loop in memory."""

    def __init__(self, path: str) -> None:
        index = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
        content = Path(path).read_bytes()
        self.fps, self.keys = index["fps"], index["keys"]
        self.frames, start = [], 0
        for size in index["sizes"]:
            self.frames.append(content[start : start + size])
            start += size


class Camera:
    """Sends clips to every viewer: frame ``n`` of the loop when the clock says ``n``."""

    def __init__(self, path: str, clips: list[str], phase_s: float, factory: Any) -> None:
        self.path, self.clips, self.phase_s = path, [Clip(clip) for clip in clips], phase_s
        self.factory = factory
        self.clip = self.clips[0]
        self.frozen = False
        self.sources: dict[Any, list[Any]] = {}  # appsrc by media, and the last tick that it got
        factory.connect("media-configure", self._configured)

    def _configured(self, _factory: Any, media: Any) -> None:
        self.sources[media] = [media.get_element().get_by_name("source"), None]
        media.connect("unprepared", lambda gone: self.sources.pop(gone, None))

    def show(self, clip: int) -> None:
        self.clip = self.clips[clip]
        for source in self.sources.values():
            source[1] = None  # a decoder needs the new clip from a key frame on

    def send_due(self) -> None:
        if self.frozen:
            return
        now = int((time.time() - self.phase_s) * self.clip.fps)
        for source in list(self.sources.values()):
            appsrc, last = source
            if last is None:
                if not self.clip.keys[now % len(self.clip.frames)]:
                    continue
                last = now - 1
            for tick in range(max(last + 1, now - _CATCH_UP_FRAMES), now + 1):
                frame = self.clip.frames[tick % len(self.clip.frames)]
                appsrc.emit("push-buffer", Gst.Buffer.new_wrapped(frame))
            source[1] = now


class CameraServer:
    """All cameras on one port."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address("127.0.0.1")
        self._server.set_service(str(settings["port"]))
        self._server.connect("client-connected", self._connected)
        self._mounts = self._server.get_mount_points()
        self._clients: dict[Any, str | None] = {}  # the path that each one watches
        self._cameras: dict[str, Camera] = {}
        for number, (name, clips) in enumerate(settings["cameras"].items()):
            factory = GstRtspServer.RTSPMediaFactory()
            factory.set_launch(_PIPELINE)
            factory.set_shared(True)
            if settings["user"] is not None:
                permissions = GstRtspServer.RTSPPermissions()
                for right in ("access", "construct"):
                    permissions.add_permission_for_role(_ROLE, f"media.factory.{right}", True)
                factory.set_permissions(permissions)
            camera = Camera(f"/{name}", clips, settings["phases_s"][number], factory)
            self._mounts.add_factory(camera.path, factory)
            self._cameras[name] = camera
        if settings["user"] is not None:
            self._require(settings["user"], settings["password"])
        if not self._server.attach(None):
            raise OSError(f"cannot listen on port {settings['port']}")
        self.port = self._server.get_bound_port()
        GLib.timeout_add(_POLL_MS, self._send_due)

    def do(self, order: str, name: str, clip: int = 0) -> None:
        """Carry out one order: kill, revive, freeze, thaw or show."""
        camera = self._cameras[name]
        if order == "kill":
            self._mounts.remove_factory(camera.path)
            for client, path in list(self._clients.items()):
                if path == camera.path:
                    client.close()
        elif order == "revive":
            self._mounts.add_factory(camera.path, camera.factory)
        elif order in ("freeze", "thaw"):
            camera.frozen = order == "freeze"
        elif order == "show":
            camera.show(clip)
        else:
            raise ValueError(f"unknown order {order!r}")

    def _require(self, user: str, password: str) -> None:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", _ROLE)
        auth.add_digest(user, password, token)
        self._server.set_auth(auth)

    def _connected(self, _server: Any, client: Any) -> None:
        self._clients[client] = None
        client.connect("describe-request", self._described)
        client.connect("closed", lambda gone: self._clients.pop(gone, None))

    def _described(self, client: Any, context: Any) -> None:
        self._clients[client] = context.uri.abspath

    def _send_due(self) -> bool:
        for camera in self._cameras.values():
            camera.send_due()
        return True


def main() -> None:
    """Serve until stdin ends."""
    Gst.init(None)
    server = CameraServer(json.loads(sys.stdin.readline()))
    loop = GLib.MainLoop()

    def on_line(_channel: Any, _condition: Any) -> bool:
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        server.do(**json.loads(line))
        print("{}", flush=True)
        return True

    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, on_line)
    print(json.dumps({"port": server.port}), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
