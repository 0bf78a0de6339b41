"""Serve the default detector, detect on every transport, stream a file: with this interpreter.

`make smoke PYTHON=python3.13` runs it in a fresh environment. Prints a line per step.
"""

import program

import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import av
import click
import cv2
import numpy as np
from local_triton import LocalServer, ServeError
from tridet.transports import TRANSPORTS

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "models/pcb/samples"
BIN = Path(sys.executable).parent
BOXES = 38  # of the six sample boards, on every transport
FRAMES = 30


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve, detect and stream with this interpreter; the first step that goes wrong ends it."""
    packages = ("numpy", "opencv-python-headless", "onnxruntime", "grpcio", "av")
    found = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"Python {platform.python_version()}, {found}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("tridet-build", "repository", ROOT / "models/pcb", "--out", folder / "served")
        with LocalServer(folder / "served", models=["pcb", "pcb_encoded"]) as server:
            url = ("--url", server.grpc_url, "--quiet")
            for transport in TRANSPORTS:
                out = folder / f"{transport}.json"
                run("tridet", "detect", SAMPLES, *url, "--transport", transport, "--json", out)
                boxes = sum(len(image["detections"]) for image in json.loads(out.read_text()))
                check(f"detect, transport {transport}: boxes", boxes, BOXES)
            write_video(folder / "boards.mp4")
            outputs = ("--jsonl", folder / "out.jsonl", "--save", folder / "out.mp4", "--track")
            run("tridet", "stream", folder / "boards.mp4", *url, *outputs)
        lines = (folder / "out.jsonl").read_text().splitlines()
        check("stream: results", len(lines), FRAMES)
        with av.open(str(folder / "out.mp4")) as video:
            check("stream: annotated frames", sum(1 for _ in video.decode(video=0)), FRAMES)


def run(program: str, *arguments: str | Path) -> None:
    """Run a command of this environment; its own message says what is wrong if it fails."""
    command = [str(BIN / program), *map(str, arguments)]
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(code)


def check(what: str, found: int, wanted: int) -> None:
    """Print the line of a step, and end the run unless it came out right."""
    print(f"{what}: {found}")
    if found != wanted:
        sys.exit(f"smoke: error: {what}: expected {wanted}, got {found}")


def write_video(path: Path) -> None:
    """Write the first sample as a still video."""
    image = np.asarray(cv2.imread(str(min(SAMPLES.glob("*.jpg")))))
    pixels = np.asarray(cv2.resize(image, (640, 480)), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    program.run(main, "smoke", ServeError)
