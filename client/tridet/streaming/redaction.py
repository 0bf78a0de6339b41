"""Keep passwords out of everything that is shown, logged or written."""

from __future__ import annotations

import re

_HIDDEN = "***"
# To the last @ before a space: a password may hold @, / or : that nobody has percent-encoded.
_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][\w+.-]*://)\S*@")
_SECRET = re.compile(
    r"(?P<key>[?&;][\w.-]*(?:pass|pwd|token|secret|key|auth|sig|user|login|account)[\w.-]*=)"
    r"[^&;#\s]*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return the text with the credentials of every URL in it hidden.

    >>> redact("cannot open rtsp://admin:secret@10.0.0.7/cam?token=abc&channel=1")
    'cannot open rtsp://***@10.0.0.7/cam?token=***&channel=1'
    """
    hidden = _USERINFO.sub(rf"\g<scheme>{_HIDDEN}@", text)
    return _SECRET.sub(rf"\g<key>{_HIDDEN}", hidden)
