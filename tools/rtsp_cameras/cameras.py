"""Start, control and stop the cameras."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from rtsp_cameras.clips import write_clip

_SERVER = Path(__file__).with_name("server.py")
_PYTHON = Path("/usr/bin/python3")  # Debian's bindings of GStreamer are made for this one
_PACKAGES = "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"


class CamerasError(Exception):
    """The cameras cannot be started, or are gone."""


class RtspCameras:
    """RTSP cameras ``/cam0`` to ``/camN`` on this machine; a context manager.

    The number in a picture is the wall clock's, in frames, modulo the length of the loop; so a
    picture says how old it is.

    Args:
        count: how many.
        size: width and height, pixels.
        fps: frames per second of each.
        loop_s: length of the loop that each repeats.
        other_size: of a second clip that ``show`` switches to.
        user: the only one let in, with ``password``; None lets everyone in.
        password: the user's.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        count: int,
        *,
        size: tuple[int, int] = (640, 480),
        fps: int = 25,
        loop_s: float = 10.0,
        other_size: tuple[int, int] | None = None,
        user: str | None = None,
        password: str | None = None,
        port: int = 0,
    ) -> None:
        self.names = tuple(f"cam{number}" for number in range(count))
        self.fps, self.loop = fps, round(loop_s * fps)
        self._sizes = [size] if other_size is None else [size, other_size]
        self._user, self._password = user, password
        self.port = port
        # Cameras do not send at one instant; a golden-ratio sequence spreads them evenly.
        self._phases_s = [number * 0.618 % 1 / fps for number in range(count)]
        self._folder: Path | None = None
        self._clips: dict[str, list[str]] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RtspCameras:
        self._folder = Path(tempfile.mkdtemp(prefix="cameras-"))
        try:
            for number, name in enumerate(self.names):
                self._clips[name] = [
                    str(
                        write_clip(
                            self._folder, f"{name}-{w}x{h}", number, (w, h), self.fps, self.loop
                        )
                    )
                    for w, h in self._sizes
                ]
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the server that runs."""
        if self._process is None:
            raise CamerasError("the cameras do not run")
        return self._process.pid

    def url(self, number: int, credentials: str = "") -> str:
        """Return where a camera is; ``credentials`` are ``user:password``."""
        user = f"{credentials}@" if credentials else ""
        return f"rtsp://{user}127.0.0.1:{self.port}/{self.names[number]}"

    def start(self) -> None:
        """Start the server, on the port that it had before if it had one.

        Raises:
            CamerasError: GStreamer's RTSP server is not installed, or the port is taken.
        """
        if not _PYTHON.exists():
            raise CamerasError(f"{_PYTHON}: not found; the RTSP server runs in Debian's Python")
        self._process = subprocess.Popen(
            [_PYTHON, str(_SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        settings = {
            "port": self.port,
            "user": self._user,
            "password": self._password,
            "phases_s": self._phases_s,
            "cameras": self._clips,
        }
        self.port = self._ask(settings)["port"]

    def stop(self) -> None:
        """Kill the server: every connection breaks."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def kill(self, number: int) -> None:
        """Cut a camera off: its viewers are disconnected, its path answers 404."""
        self._ask({"order": "kill", "name": self.names[number]})

    def revive(self, number: int) -> None:
        """Bring it back."""
        self._ask({"order": "revive", "name": self.names[number]})

    def freeze(self, number: int) -> None:
        """Let a camera stay connected and send nothing."""
        self._ask({"order": "freeze", "name": self.names[number]})

    def thaw(self, number: int) -> None:
        """Let it go on."""
        self._ask({"order": "thaw", "name": self.names[number]})

    def show(self, number: int, clip: int) -> None:
        """Switch a camera to its first clip, 0, or the one of ``other_size``, 1."""
        self._ask({"order": "show", "name": self.names[number], "clip": clip})

    def age_s(self, number: int, counter: int, at: float | None = None) -> float:
        """Return how long before ``at`` (now) a picture with this counter had been sent.

        Args:
            number: the camera's.
            counter: what ``read_counter`` found.
            at: seconds since the epoch.
        """
        moment = time.time() if at is None else at
        frames = (moment - self._phases_s[number]) * self.fps - counter
        return frames % self.loop / self.fps

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise CamerasError("the cameras are not running")
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            process.kill()
            _, log = process.communicate()
            self._process = None
            reason = log.strip().splitlines()[-1] if log.strip() else "no message"
            # No module gi, or no namespace GstRtspServer in it.
            missing = "No module" in reason or "Namespace" in reason
            remedy = f"; install it with: apt-get install {_PACKAGES}" if missing else ""
            raise CamerasError(f"the RTSP server ended: {reason}{remedy}")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed
