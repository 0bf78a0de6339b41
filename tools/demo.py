"""`make demo`: render the repository, serve it, detect in the sample boards, stop.

Uses what users use: `tridet-build`, the server of `tools/serve.py` and the `tridet` command.
"""

import program

import subprocess
import sys
from pathlib import Path

import click
from local_triton import LocalServer, ServeError
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = Path("models/pcb/samples")
OUT = Path("out/demo")
BIN = Path(sys.executable).parent

console = Console(highlight=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve the default detector on a real tritonserver and annotate six boards.

    Writes out/demo and renders model_repository/; the server is stopped in the end.
    """
    step("Rendering model_repository/ from models/pcb/detector.toml")
    call("tridet-build", "repository", "models/pcb")
    step("Starting tritonserver on the repository (a free port on 127.0.0.1)")
    with LocalServer(ROOT / "model_repository", models=["pcb", "pcb_encoded"]) as server:
        console.print(f"  {server.grpc_url} is ready")
        step(f"Detecting in {SAMPLES}")
        command = ["detect", str(SAMPLES), "--url", server.grpc_url, "--model", "pcb"]
        call("tridet", *command, "--save", str(OUT), "--json", str(OUT / "detections.json"))
    console.print(
        f"\n[bold]Six annotated boards are in {OUT}[/bold], their boxes in {OUT}/detections.json.\n"
        "The server has been stopped. Next:\n"
        "  make serve                                    keep it running on port 8001\n"
        "  .venv/bin/tridet detect YOUR.jpg --save out   detect in pictures of your own\n"
        "  README.md, 'Serve my own model'               put your detector in its place"
    )


def step(text: str) -> None:
    """Print what happens next."""
    console.print(f"[bold]> {text}[/bold]")


def call(program: str, *arguments: str) -> None:
    """Call a command of this environment; its own message has said what is wrong if it fails."""
    if code := subprocess.run([BIN / program, *arguments], cwd=ROOT, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    program.run(main, "demo", ServeError)
