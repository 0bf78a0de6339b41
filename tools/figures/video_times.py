"""Compare the times that frames get with those that ffprobe finds; prints a table.

    python tools/figures/video_times.py

Files of many kinds are written for it. It needs ffprobe (the package ffmpeg).
"""

from __future__ import annotations

import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import click

_FRAMES, _RATE = 50, 25
_STEADY = [number / _RATE for number in range(_FRAMES)]
_VARYING = [0.0, 0.04, 0.5, 0.52, 3.0, 9.0, 7200.0, 7200.04]
_WRAP_S = 2**33 / 90_000
# What is in the file, its name, and what it is written with.
_KINDS: tuple[tuple[str, str, list[float], dict[str, str]], ...] = (
    ("MP4, B-frames", "b.mp4", _STEADY, {"bf": "3"}),
    ("MP4, begins at 5 s", "late.mp4", [5 + at for at in _STEADY], {"bf": "3"}),
    ("MP4, varying rate, a pause of 2 h", "vary.mp4", _VARYING, {"bf": "2"}),
    ("Matroska, varying rate, a pause of 2 h", "vary.mkv", _VARYING, {"bf": "2"}),
    ("MPEG-TS, begins at 50,000 s", "late.ts", [5e4 + at for at in _STEADY], {"bf": "3"}),
    ("MPEG-TS, its clock wraps around", "wrap.ts", [_WRAP_S - 1 + at for at in _STEADY], {}),
    ("FLV, B-frames", "b.flv", _STEADY, {"bf": "3"}),
    ("AVI, B-frames", "b.avi", _STEADY, {"bf": "3"}),
    ("raw H.264", "raw.h264", _STEADY, {}),
    ("raw H.264, B-frames", "b.h264", _STEADY, {"bf": "3"}),
    ("MPEG-TS, three recordings in one", "three.ts", _STEADY, {"bf": "3"}),
)


@click.command()
def main() -> None:
    """Measure, and print."""
    click.echo("| file | frames | clock | has times for ffprobe | largest difference, ms |")
    click.echo("| --- | ---: | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, times, options in _KINDS:
            path = Path(folder, name)
            _write(path, times, options)
            if name == "three.ts":
                path.write_bytes(3 * path.read_bytes())
            ours, clock = _times_of(path)
            theirs = _probed(path)
            known = [(a, b) for a, b in zip(ours, theirs, strict=True) if b is not None]
            # Each on its own scale: an AVI is counted from its first decoding time by ffprobe.
            off = [(a - known[0][0]) - (b - known[0][1]) for a, b in known]
            largest = f"{1000 * max(map(abs, off)):.1f}" if off else ""
            click.echo(f"| {kind} | {len(ours)} | {clock} | {len(known)} | {largest} |")


def _write(path: Path, times: list[float], options: dict[str, str]) -> None:
    import av
    import numpy as np

    format = "h264" if path.suffix == ".h264" else None
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"g": "10", **options})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time_s in enumerate(times):
            pixels = np.full((240, 320, 3), 5 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _times_of(path: Path) -> tuple[list[float], str]:
    from tridet.streaming.clock import FrameClock
    from tridet.streaming.sources import parse_source
    from tridet.streaming.video import Video

    clock, video = FrameClock(), Video(parse_source(str(path)))
    frames = [decoded for decoded in video.frames(0, clock) if decoded is not None]
    video.close()
    return [decoded.pts_s for decoded in frames], clock.name


def _probed(path: Path) -> list[float | None]:
    arguments = ["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]
    shown = ["-show_entries", "frame=best_effort_timestamp_time"]
    done = subprocess.run(
        ["ffprobe", *arguments, *shown, str(path)], capture_output=True, text=True, check=True
    )
    found = [line.strip(",") for line in done.stdout.split()]
    return [None if one == "N/A" else float(one) for one in found]


if __name__ == "__main__":
    main()
