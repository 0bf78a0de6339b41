"""What may be written to a terminal."""

from __future__ import annotations

import re

# With these a name of a file or a class would command the terminal, or begin a line of its own.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return the text with control characters written out, as ``\x1b``; it stays one line."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)
