"""Credentials never show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet.streaming.redaction import redact

USERINFO = st.text("ab09:@/?#&=%+.-é", min_size=1, max_size=12)


@given(USERINFO, USERINFO, st.text(max_size=20), st.text(max_size=20))
def test_no_password_survives_redaction(user, password, before, after):
    # Marked, so that it cannot stand in the text by chance.
    shown = redact(f"{before} rtsp://{user}:«{password}»@host/cam {after}")
    assert f"«{password}»" not in shown
    assert "host/cam" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://host/cam?channel=1&subtype=0", "rtsp://host/cam?channel=1&subtype=0"),
        ("http://h/a?user=bob&pwd=x&n=1", "http://h/a?user=***&pwd=***&n=1"),
        ("http://h/a?X-Amz-Signature=ab", "http://h/a?X-Amz-Signature=***"),
        ("see rtsp://a:b@h1 and http://c@h2/", "see rtsp://***@h1 and http://***@h2/"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_what_redaction_leaves(text, shown):
    assert redact(text) == shown
