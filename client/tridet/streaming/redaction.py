"""Keep passwords out of everything that is shown, logged or written."""

from __future__ import annotations

import re

_HIDDEN = "***"
# To the last @ before a space: a password may hold @, / or : that nobody has percent-encoded.
_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][\w+.-]*://)\S*@")
# Whoever knows the last part of such a URL may publish there.
_STREAM_KEY = re.compile(
    r"(?P<app>\brtmp\w*://[^/\s]+/[^/?\s]+/)[^?\s]*[^?\s:;,.'\")]", re.IGNORECASE
)
# The names are bounded, or a long text of nothing else would take minutes.
_SECRETS = (
    r"[\w.-]{0,24}(?:pass|pwd|psw|token|secret|key|auth|sig|user|usr|login|account|cred|session|jwt"
    r"|streamid)[\w.-]{0,24}|u|p|pw"
)
# What stands beside a password in the paths of cameras, /user=U_password=P_channel=1_stream=0.sdp.
_HARMLESS = r"channel|chn?|chid|stream|streamtype|subtype|onvif|profile|resolution|width|height|fps"
# There a password may hold nearly anything; its end is known by what follows, or it is the text's.
_SECRET = re.compile(
    rf"(?P<key>[/_?&;,](?:{_SECRETS})=)(?:(?![/_?;,](?:{_SECRETS}|{_HARMLESS})=)[^&\s])*",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return the text with the credentials of every URL in it hidden.

    >>> redact("cannot open rtsp://admin:secret@10.0.0.7/cam?token=abc&channel=1")
    'cannot open rtsp://***@10.0.0.7/cam?token=***&channel=1'
    >>> redact("rtsp://10.0.0.7/user=admin_password=secret_channel=1_stream=0.sdp")
    'rtsp://10.0.0.7/user=***_password=***_channel=1_stream=0.sdp'
    """
    hidden = _USERINFO.sub(rf"\g<scheme>{_HIDDEN}@", text)
    hidden = _STREAM_KEY.sub(rf"\g<app>{_HIDDEN}", hidden)
    return _SECRET.sub(rf"\g<key>{_HIDDEN}", hidden)
