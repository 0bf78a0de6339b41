"""``tridet stream``: its options, what it shows while it runs, and how it ends."""

from tridet._cli_stream.command import stream

__all__ = ["stream"]
