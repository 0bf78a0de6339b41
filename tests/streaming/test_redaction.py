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


@given(st.text("ab09:@/?#.=_+-é", min_size=1, max_size=12))
def test_no_password_in_a_path_survives_redaction(password):
    url = f"rtsp://host:554/user=admin_password=«{password}»_channel=1_stream=0.sdp?real_stream"
    assert password in url
    assert f"«{password}»" not in redact(url)
    assert "«" not in redact(url)


def test_long_texts_of_nothing_take_no_time():
    # Minutes, if the names of secrets had no bound.
    for part in ("_user", "_user=", "pass_", "rtmp://"):
        redact("rtsp://host/" + 2000 * part)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://host/cam?channel=1&subtype=0", "rtsp://host/cam?channel=1&subtype=0"),
        ("http://h/a?user=bob&pwd=x&n=1", "http://h/a?user=***&pwd=***&n=1"),
        ("http://h/a?X-Amz-Signature=ab", "http://h/a?X-Amz-Signature=***"),
        ("see rtsp://a:b@h1 and http://c@h2/", "see rtsp://***@h1 and http://***@h2/"),
        ("mail me@example.org", "mail me@example.org"),
        ("http://h/snap.cgi?usr=bob&u=bob&p=x#y&n=1", "http://h/snap.cgi?usr=***&u=***&p=***&n=1"),
        ("rtsp://h/live?user=bob;pwd=x;stream=1", "rtsp://h/live?user=***;pwd=***;stream=1"),
        (
            "rtsp://h/user=bob_password=x_channel=1_stream=0.sdp?real_stream: timed out",
            "rtsp://h/user=***_password=***_channel=1_stream=0.sdp?real_stream: timed out",
        ),
        ("rtsp://h/user=bob&password=&channel=1", "rtsp://h/user=***&password=***&channel=1"),
        ("rtmps://h:443/live2/ab-cd: refused", "rtmps://h:443/live2/***: refused"),
        ("srt://h:1?streamid=publish:cam:bob:x&mode=caller", "srt://h:1?streamid=***&mode=caller"),
        ("rtsp://h/h264/ch1/main/av_stream", "rtsp://h/h264/ch1/main/av_stream"),
    ],
)
def test_what_redaction_leaves(text, shown):
    assert redact(text) == shown
