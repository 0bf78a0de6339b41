"""Files of sources."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from tridet import InvalidInput
from tridet.streaming.config import load_config
from tridet.streaming.zones import Areas, parse_line, parse_zone


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
