"""Record the live page of `tridet stream` and write docs/stream.webp, the README's moving picture.

    python tools/figures/stream_picture.py --out docs/stream.webp

Cameras, tritonserver, the client and the browser are those of `make stream-demo`. Each picture of
the page is shown for as long as it stood there, so the animation runs at the speed of the run.
"""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools/ is not an installed package

import program

import click
from local_triton import LocalServer, ServeError
from local_triton.checks import free_ports
from page_screenshot import FLAGS, PageError, find_browser
from PIL import Image
from rtsp_cameras import CamerasError, RtspCameras
from stream_demo import READY

_MAIN = [sys.executable, "-c", "from tridet.cli.main import main; main()"]
_REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
_SIZE = (1280, 560)
_START_S = 60.0

Shots = list[tuple[float, bytes]]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(path_type=Path), default="docs/stream.webp")
@click.option("--cameras", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=8.0, show_default=True)
@click.option("--width", type=click.IntRange(320, 1280), default=960, help="Of the picture.")
@click.option("--quality", type=click.IntRange(1, 100), default=60, show_default=True)
def main(out: Path, cameras: int, seconds: float, width: int, quality: int) -> None:
    """Record the live page of `tridet stream` as an animated WebP."""
    with (
        RtspCameras(cameras, size=(1280, 720), fps=10) as rtsp,
        LocalServer(_REPOSITORY, models=["pcb"]) as server,
    ):
        sources = {f"line {n + 1}": rtsp.url(n) for n in range(cameras)}
        shots = _record(sources, server.grpc_url, seconds)
    _write(out, shots, width, quality)
    click.echo(f"{out}: {len(shots)} pictures, {out.stat().st_size / 1e6:.2f} MB")


def _record(sources: dict[str, str], server_url: str, seconds: float) -> Shots:
    address = f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "cameras.toml")
        config.write_text(
            "".join(
                f'[[source]]\nname = "{name}"\nlocation = "{url}"\n'
                for name, url in sources.items()
            )
        )
        command = [*_MAIN, "stream", "--config", str(config), "--url", server_url, "--quiet"]
        with subprocess.Popen([*command, "--track", "--web", address]) as client:
            try:
                _wait_for(address)
                return _shoot(f"http://{address}/", seconds)
            finally:
                client.terminate()


def _shoot(url: str, seconds: float) -> Shots:
    """Return pictures of the page, PNG, each with the time at which it was taken, in seconds."""
    from playwright.sync_api import Error, sync_playwright

    shots: Shots = []
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=[*FLAGS])
            page = browser.new_page(viewport={"width": _SIZE[0], "height": _SIZE[1]})
            page.goto(url)
            page.wait_for_selector(READY, timeout=_START_S * 1000)
            end = time.monotonic() + seconds
            while (now := time.monotonic()) < end:
                picture = page.screenshot()
                if not shots or picture != shots[-1][1]:
                    shots.append((now, picture))
        except Error as error:
            raise PageError(f"{url}: {error.message.splitlines()[0]}") from error
    return shots


def _write(out: Path, shots: Shots, width: int, quality: int) -> None:
    times = [at for at, _ in shots]
    durations_ms = [round(1000 * (b - a)) for a, b in pairwise(times)]
    frames = []
    for _, png in shots:
        frame = Image.open(io.BytesIO(png)).convert("RGB")
        size = (width, round(frame.height * width / frame.width))
        frames.append(frame.resize(size, Image.Resampling.LANCZOS))
    out.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        out,
        save_all=True,
        append_images=frames[1:],
        duration=[*durations_ms, 500],
        loop=0,
        quality=quality,
        method=4,
    )


def _wait_for(address: str) -> None:
    """Wait until something listens at ``host:port``."""
    host, port = address.split(":")
    end = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise PageError(f"{address}: no page after {_START_S:.0f} s") from error
            time.sleep(0.1)


if __name__ == "__main__":
    program.run(main, "stream_picture", CamerasError, ServeError, PageError)
