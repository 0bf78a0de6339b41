"""What a location is taken for, and options that are refused."""

from __future__ import annotations

import pytest
from tridet import InvalidInput
from tridet.streaming.sources import parse_source, with_unique_names


@pytest.mark.parametrize(
    ("location", "name", "live"),
    [
        ("videos/board.mp4", "board.mp4", False),
        ("odd: name.mkv", "odd: name.mkv", False),
        ("rtsp://10.0.0.7:554/cam0", "10.0.0.7:554/cam0", True),
        ("rtsps://user:pass@cam.local/a?token=x&channel=1", "cam.local/a", True),
        ("RTMP://host/app/key", "host/app/***", True),
        ("rtsp://h/user=a_password=b_channel=1", "h/user=***_password=***_channel=1", True),
        ("http://host/stream.mjpg", "host/stream.mjpg", True),
        ("https://host/live.m3u8", "host/live.m3u8", True),
        ("https://host/film.MP4?x=1", "host/film.MP4", False),
        ("/dev/video2", "video2", True),
        ("0", "video0", True),
        (1, "video1", True),
    ],
)
def test_what_a_location_is_taken_for(location, name, live):
    source = parse_source(location)
    assert (source.name, source.live) == (name, live)
    assert source.policy == ("latest" if live else "all")
    assert source.is_device == name.startswith("video")


def test_options_override_what_is_guessed():
    source = parse_source("a.ts", live=True, max_fps=5, rtsp_transport=None)
    assert (source.live, source.policy, source.max_fps) == (True, "latest", 5)
    assert source.rtsp_transport == "tcp"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "newest"}, "policy: expected 'latest' or 'all', got 'newest'"),
        ({"max_fps": 0}, "max_fps: expected a number above 0, got 0"),
        ({"max_fps": "5"}, "max_fps: expected a number above 0, got '5'"),
        ({"max_fps": True}, "max_fps: expected a number above 0, got True"),
        ({"max_fps": float("nan")}, "max_fps: expected a number above 0, got nan"),
        ({"read_timeout_s": float("inf")}, "read_timeout_s: expected a number above 0, got inf"),
        ({"max_retries": 1.5}, "max_retries: expected a whole number from 0, got 1.5"),
        ({"live": "yes"}, "live: expected true or false, got 'yes'"),
        ({"policy": ["all"]}, "policy: expected 'latest' or 'all', got ['all']"),
        ({"name": "a\nb"}, "name: expected a line of text without credentials, got 'a\\nb'"),
        ({"name": "rtsp://u:pw@h"}, "name: expected a line of text without credentials, got"),
        ({"speed": 1}, "speed: unknown option, expected one of name, live, policy"),
    ],
)
def test_a_wrong_option_is_said_in_one_line(options, message):
    with pytest.raises(InvalidInput) as caught:
        parse_source("a.mp4", **options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value) and "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "location", ["", None, True, 1.5, "ftp://user:pw@host/a", "rtsp://u:my pw@h/a"]
)
def test_a_wrong_location_is_said_in_one_line(location):
    with pytest.raises(InvalidInput, match="expected") as caught:
        parse_source(location)
    assert "pw" not in str(caught.value)


def test_variables_keep_passwords_out_of_files(monkeypatch):
    monkeypatch.setenv("CAM_PASSWORD", "p@ss/w:rd")
    monkeypatch.setenv("CAM_HOST", "10.0.0.7:554")
    source = parse_source("rtsp://admin:${CAM_PASSWORD}@${CAM_HOST}/cam")
    assert source.location == "rtsp://admin:p%40ss%2Fw%3Ard@10.0.0.7:554/cam"
    assert source.address == "rtsp://***@10.0.0.7:554/cam"
    assert "rd@" not in repr(source) and "p%40" not in repr(source)
    monkeypatch.delenv("CAM_PASSWORD")
    with pytest.raises(InvalidInput, match="expected the environment variable CAM_PASSWORD"):
        parse_source("rtsp://admin:${CAM_PASSWORD}@host/cam")


def test_shared_names_are_numbered():
    sources = [parse_source(f"{folder}/cam.mp4") for folder in "abc"]
    assert [source.name for source in with_unique_names(sources)] == [
        "cam.mp4",
        "cam.mp4-2",
        "cam.mp4-3",
    ]
