"""Sources on the command line and in files; credentials that never show."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet import InvalidInput
from tridet.streaming.config import load_config
from tridet.streaming.redaction import redact
from tridet.streaming.sources import parse_source, with_unique_names
from tridet.streaming.zones import Areas, parse_line, parse_zone


@pytest.mark.parametrize(
    ("location", "name", "live"),
    [
        ("videos/board.mp4", "board.mp4", False),
        ("odd: name.mkv", "odd: name.mkv", False),
        ("rtsp://10.0.0.7:554/cam0", "10.0.0.7:554/cam0", True),
        ("rtsps://user:pass@cam.local/a?token=x&channel=1", "cam.local/a", True),
        ("RTMP://host/app/key", "host/app/key", True),
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


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


TOML = """
[[source]]
location = "rtsp://admin:${CAM_PASSWORD}@10.0.0.7/door"
name = "door"
max_fps = 5
read_timeout_s = 20.0
zones = { gate = [0.1, 0.1, 0.9, 0.1, 0.5, 0.9] }

[[source]]
location = "boards/a.mp4"
policy = "latest"

[source.lines]
belt = [320, 0, 320, 480]
"""
YAML = """
source:
  - location: rtsp://admin:${CAM_PASSWORD}@10.0.0.7/door
    name: door
    max_fps: 5
    read_timeout_s: 20.0
    zones: {gate: [0.1, 0.1, 0.9, 0.1, 0.5, 0.9]}
  - location: boards/a.mp4
    policy: latest
    lines: {belt: [320, 0, 320, 480]}
"""


def test_toml_and_yaml_say_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("CAM_PASSWORD", "s3cr3t")
    door, board = load_config(write(tmp_path, "cameras.toml", TOML))
    assert (door.name, door.max_fps, door.read_timeout_s) == ("door", 5, 20.0)
    assert door.location == "rtsp://admin:s3cr3t@10.0.0.7/door"
    assert board.location == str(tmp_path / "boards/a.mp4")
    assert (board.name, board.policy) == ("a.mp4", "latest")
    assert door.areas == Areas(zones=(parse_zone("gate=0.1,0.1,0.9,0.1,0.5,0.9"),))
    assert board.areas == Areas(lines=(parse_line("belt=320,0,320,480"),))
    assert load_config(write(tmp_path, "cameras.yml", YAML)) == [door, board]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "source = 1", "source: expected one or more, got int"),
        ("a.toml", "", "source: expected one or more, got nothing"),
        ("a.yaml", "", "expected a list 'source', got nothing"),
        ("a.yaml", "- a.mp4", "expected a list 'source', got list"),
        ("a.toml", "[[source]]\nlocation = 's.mp4'\n[[camera]]", "camera: unknown key"),
        ("a.toml", "[[source]]\nname = 'a'", "source 1: location: required key is missing"),
        ("a.yaml", "source: [a.mp4]", "source 1: expected a table, got str"),
        (
            "a.toml",
            "[[source]]\nlocation = 'a.mp4'\nfps = 5",
            "source 1: fps: unknown key, expected one of location, name",
        ),
        (
            "a.toml",
            "[[source]]\nlocation = 'rtsp://u:s3cr3t@h/a'\nmax_fps = -1",
            "source 1: max_fps: expected a number above 0, got -1",
        ),
        ("a.toml", "[[source]]\nlocation = 'rtsp://u:s3cr3t@h/a", "not valid TOML"),
        ("a.yaml", "source:\n - location: 'rtsp://u:s3cr3t@h/a\n", "not valid YAML"),
        ("a.yaml", "source: [!!python/object:os.system s3cr3t]", "not valid YAML"),
        (
            "a.toml",
            "[[source]]\nlocation = 'b.mp4'\n[[source]]\nlocation = 'c/b.mp4'",
            "name: expected unique names, got 'b.mp4' twice or more",
        ),
        (
            "a.toml",
            "[[source]]\nlocation = 'a.mp4'\nzones = [0, 0, 1, 1, 1, 0]",
            "source 1: zones: expected a table of names to numbers, got list",
        ),
        (
            "a.toml",
            "[[source]]\nlocation = 'a.mp4'\nlines = { belt = 3 }",
            "source 1: lines.belt: expected numbers, got int",
        ),
        (
            "a.toml",
            "[[source]]\nlocation = 'a.mp4'\nlines = { belt = [0, 0, 1] }",
            "source 1: line belt: ",
        ),
        ("a.json", "{}", "expected a file *.toml, *.yaml or *.yml"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(tmp_path, name, text, message):
    path = write(tmp_path, name, text)
    with pytest.raises(InvalidInput) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InvalidInput, match="no such file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_config(tmp_path / "binary.yaml")
    with pytest.raises(InvalidInput, match="cannot be read"):
        (tmp_path / "folder.toml").mkdir()
        load_config(tmp_path / "folder.toml")
