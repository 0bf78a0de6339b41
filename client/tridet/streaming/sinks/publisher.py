"""The program that sends one stream of H.264 to a server; ``link.py`` starts and feeds it.

It is a process of its own because PyAV connects to a server without letting other threads run: one
that does not answer would stop every camera. Whatever it hangs in, it can be killed.

On stdin come a line of JSON with the options of ``av.open``, then packets: ``PACKET`` and the data.
On stdout goes ``READY`` once the server takes the stream, or a line that says why not.
"""

from __future__ import annotations

import json
import struct
import sys

from tridet.streaming.sinks.h264 import TIME_BASE

PACKET = struct.Struct("<qBI")
"""Time in ticks of ``TIME_BASE``, whether a player can begin here, size in bytes."""
READY = b"ready\n"


def main() -> None:
    """Send until stdin ends or the server goes away."""
    import av
    from av.error import FFmpegError
    from av.packet import Packet

    av.logging.set_level(None)
    head = json.loads(sys.stdin.buffer.readline())
    try:
        container = av.open(head["url"], "w", format=head["format"], options=head["options"])
        stream = container.add_mux_stream("h264", width=head["width"], height=head["height"])
        stream.time_base = TIME_BASE
        first = True
        while len(header := sys.stdin.buffer.read(PACKET.size)) == PACKET.size:
            time, is_keyframe, size = PACKET.unpack(header)
            packet = Packet(sys.stdin.buffer.read(size))
            packet.stream = stream
            packet.pts = packet.dts = time
            packet.time_base = TIME_BASE
            packet.is_keyframe = bool(is_keyframe)
            container.mux(packet)  # the first one connects
            if first:
                sys.stdout.buffer.write(READY)
                sys.stdout.buffer.flush()
                first = False
        container.close()
    except FFmpegError as error:
        # Not the whole text, which holds the URL with its password.
        sys.stdout.write(f"{error.strerror or type(error).__name__}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
