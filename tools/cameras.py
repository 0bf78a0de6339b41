"""Run RTSP cameras on this machine that show moving boards, until Ctrl-C.

    python tools/cameras.py --count 4 --port 8554

Needs, once: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good \
gstreamer1.0-plugins-bad
"""

from __future__ import annotations

import program

import signal
import sys

import click
from rtsp_cameras import CamerasError, RtspCameras


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--count", type=click.IntRange(1, 64), default=2, help="Cameras: /cam0, /cam1, …")
@click.option("--port", type=click.IntRange(0, 65535), default=8554, help="0 for a free one.")
@click.option("--fps", type=click.IntRange(1, 60), default=25, help="Frames per second of each.")
@click.option("--width", type=click.IntRange(160, 3840), default=640, help="Pixels; even.")
@click.option("--height", type=click.IntRange(120, 2160), default=480, help="Pixels; even.")
@click.option("--seconds", type=click.IntRange(1, 60), default=10, help="Length of the loop.")
def main(count: int, port: int, fps: int, width: int, height: int, seconds: int) -> None:
    """Run RTSP cameras on this machine that show moving boards, until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cameras = RtspCameras(
        count, size=(width // 2 * 2, height // 2 * 2), fps=fps, loop_s=seconds, port=port
    )
    with cameras:
        for number in range(count):
            click.echo(cameras.url(number))
        signal.pause()


if __name__ == "__main__":
    program.run(main, "cameras", CamerasError)
