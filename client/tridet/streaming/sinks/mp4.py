"""Save annotated video: H.264 in MP4, playable in a browser, also when the run was cut off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tridet.detections import UInt8Array
from tridet.exceptions import InvalidInput
from tridet.streaming.frames import StreamResult
from tridet.streaming.sinks.h264 import TIME_BASE, H264Encoder
from tridet.streaming.sinks.picture import Draw

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_SUFFIX = ".mp4"
# Fragments are complete on their own: a file that ends after any of them can be played.
_OPTIONS = {
    # delay_moov: FFmpeg 8.0, which PyAV for Python 3.10 has, takes what a decoder must know from
    # the first packet, and writes a file that nobody can read if the header went out before.
    "movflags": "empty_moov+delay_moov+default_base_moof+frag_keyframe",
    "frag_duration": "500000",  # microseconds
    "flush_packets": "1",
}


def mp4_targets(path: Path, locations: Mapping[str, str]) -> dict[str, Path]:
    """Return the file of each source; the folders are made, files of these names overwritten.

    Args:
        path: ``out.mp4`` for one source; several get ``out-NAME.mp4`` each. A path without a
            suffix, or of a folder, is a folder of ``NAME.mp4``.
        locations: where each source comes from, by its name.

    Raises:
        InvalidInput: another suffix, or a file that is a source itself.
        OSError: the folder cannot be made.
    """
    if path.suffix and path.suffix.lower() != _SUFFIX and not path.is_dir():
        raise InvalidInput(f"--save: expected a folder or a file name in {_SUFFIX}, got {path}")
    if path.is_dir() or not path.suffix:
        targets = {name: path / f"{stem}{_SUFFIX}" for name, stem in _stems(locations).items()}
    elif len(locations) == 1:
        targets = dict.fromkeys(locations, path)
    else:
        targets = {
            name: path.with_name(f"{path.stem}-{stem}{path.suffix}")
            for name, stem in _stems(locations).items()
        }
    for target in targets.values():
        target.parent.mkdir(parents=True, exist_ok=True)
        for location in locations.values():
            if target.exists() and Path(location).exists() and target.samefile(location):
                raise InvalidInput(f"--save: {target} is a source itself; choose another name")
    return targets


class Mp4Sink:
    """Writes the annotated frames of one source, each at its own time.

    Every half second what has been written is a playable file. When the frames change their size,
    a second file begins, ``out.part2.mp4``: nothing is scaled, and the times go on.

    Args:
        path: of the file; overwritten when the first frame comes.
        draw: makes the pictures.
        threads: of the encoder; 0 for as many as the machine has cores.
    """

    def __init__(self, path: Path, draw: Draw, *, threads: int = 0) -> None:
        self.name = f"--save {path}"
        self.paths: list[Path] = []
        """The files so far."""
        self._path = path
        self._draw = draw
        self._threads = threads
        self._video: _Video | None = None

    def write(self, result: StreamResult) -> None:
        """Append one frame.

        Raises:
            OSError: the disk is full, for instance. What was written before stays playable.
        """
        pixels = self._draw(result)
        time_s = result.frame.pts_s
        size = (pixels.shape[1], pixels.shape[0])
        if self._video is None or self._video.picture_size != size:
            self.close()
            self._video = _Video(self._next_path(), size, self._threads, time_s)
        self._video.write(pixels, time_s)

    def close(self) -> None:
        """Finish the file."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def _next_path(self) -> Path:
        number = len(self.paths) + 1
        path = self._path
        if number > 1:
            path = path.with_name(f"{path.stem}.part{number}{path.suffix}")
        self.paths.append(path)
        return path


class _Video:
    """One file; its first frame is at ``start_s``."""

    def __init__(self, path: Path, size: tuple[int, int], threads: int, start_s: float) -> None:
        import av

        self.picture_size = size
        self._start_s = start_s
        self._failed = False
        self._encoder = H264Encoder(*size, threads=threads)
        # A file of Python's, not FFmpeg's: PyAV opens those, and writes headers, without letting
        # other threads run meanwhile.
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._container: OutputContainer = av.open(self._file, "w", format="mp4", options=_OPTIONS)
        self._stream: Stream = self._container.add_mux_stream(
            "h264", width=self._encoder.width, height=self._encoder.height
        )
        self._stream.time_base = TIME_BASE

    def write(self, pixels: UInt8Array, time_s: float) -> None:
        self._mux(self._encoder.encode(pixels, time_s - self._start_s))

    def close(self) -> None:
        try:
            if not self._failed:
                self._mux(self._encoder.finish())
                self._container.close()
        finally:
            self._file.close()

    def _mux(self, packets: list[Packet[Any]]) -> None:
        try:
            for packet in packets:
                packet.stream = self._stream
                self._container.mux(packet)
        except OSError:
            self._failed = True
            raise


def _stems(names: Mapping[str, str]) -> dict[str, str]:
    """Return file names made of the sources' names, unique even where case does not count."""
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        # No dots, so that none is named like the second file of another.
        base = re.sub(r"[^\w-]+", "_", name).strip("_") or "source"
        stem, number = base, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{base}_{number}"
        taken.add(stem.lower())
        stems[name] = stem
    return stems
