"""`make stream-demo`: two RTSP cameras, tritonserver, `tridet stream` and its live page.

Uses what users use: `tridet-build`, the server of `tools/serve.py`, `tridet` and a browser. The
cameras are GStreamer's RTSP server with H.264 of moving boards, `tools/cameras.py`.
"""

import program

import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
from demo import BIN, ROOT, call, console, step
from local_triton import LocalServer, ServeError
from local_triton.checks import free_ports
from page_screenshot import PageError, screenshot
from rtsp_cameras import CamerasError, RtspCameras

OUT = Path("out/stream-demo")
CAMERAS = 2
SECONDS = 20
# No camera without a picture, or whose rate of results is zero so far.
READY = (
    "main:not(:has(.camera canvas:not([data-frame])))"
    ':not(:has([data-number="fps_out"]:text-matches("^0[.]0"))) canvas'
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Stream two RTSP cameras through the default detector and take a picture of the live page.

    Writes out/stream-demo and renders model_repository/; cameras and server are stopped in the end.
    """
    step("Rendering model_repository/ from models/pcb/detector.toml")
    call("tridet-build", "repository", "models/pcb")
    step(f"Starting {CAMERAS} RTSP cameras and tritonserver")
    with (
        RtspCameras(CAMERAS, size=(1280, 720), fps=10) as cameras,
        LocalServer(ROOT / "model_repository", models=["pcb"]) as server,
    ):
        code = _stream([cameras.url(number) for number in range(CAMERAS)], server.grpc_url)
    sys.exit(code)


def _stream(urls: list[str], server_url: str) -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    config = OUT / "cameras.toml"
    tables = [f'[[source]]\nname = "cam{i}"\nlocation = "{url}"\n' for i, url in enumerate(urls)]
    config.write_text("\n".join(tables))
    (port,) = free_ports("127.0.0.1", 1)
    page = ("127.0.0.1", port)
    command = ["stream", "--config", str(config), "--url", server_url, "--model", "pcb", "--track"]
    command += ["--web", ":".join(map(str, page)), "--save", str(OUT)]
    command += ["--jsonl", str(OUT / "results.jsonl"), "--stats", str(OUT / "stats.jsonl")]
    command += ["--duration", str(SECONDS)]
    step(f"tridet {shlex.join(command)}")
    with subprocess.Popen([BIN / "tridet", *command], cwd=ROOT) as client:
        try:
            _wait_for(page, client)
            url = f"http://{page[0]}:{page[1]}/"
            screenshot(url, OUT / "page.png", (1440, 900), READY, SECONDS)
            code = client.wait()
        finally:
            client.terminate()
    if code == 0:
        console.print(
            f"\n[bold]{OUT}/page.png[/bold] is the live page; beside it a video of each camera, "
            "results.jsonl and\nstats.jsonl. All has been stopped. Next, beside `make serve`:\n"
            "  .venv/bin/tridet stream rtsp://YOUR-CAMERA --web :8080\n"
            "  docs/streams.md"
        )
    return code


def _wait_for(address: tuple[str, int], client: subprocess.Popen[bytes]) -> None:
    """Wait until the page is served; the client ends by itself if it cannot."""
    while client.poll() is None:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    program.run(main, "stream-demo", CamerasError, ServeError, PageError)
