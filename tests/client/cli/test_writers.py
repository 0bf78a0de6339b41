"""The formats that ``tridet detect`` writes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os

import pytest
from tridet import Detections
from tridet.cli.writers import open_writer

LABELS = ("short", "spur")
FOUND = (
    Detections(
        [[10, 20, 30, 60], [0.5, 0, 100, 50]], [0.75, 0.5], [1, 0], LABELS, (100, 80), "a.jpg"
    ),
    Detections([], [], [], LABELS, (64, 48), "b,c.png"),
)


def written(format: str, destination) -> str:
    with open_writer(format, str(destination), LABELS) as write:
        for detections in FOUND:
            write(detections, detections.source)
    return "" if destination == "-" or destination.is_dir() else destination.read_text()


def test_json(tmp_path):
    assert written("json", tmp_path / "out") == (
        '[\n{"source": "a.jpg", "width": 100, "height": 80, "detections": ['
        '{"box": [10.0, 20.0, 30.0, 60.0], "score": 0.75, "class_id": 1, "name": "spur"}, '
        '{"box": [0.5, 0.0, 100.0, 50.0], "score": 0.5, "class_id": 0, "name": "short"}]},\n'
        '{"source": "b,c.png", "width": 64, "height": 48, "detections": []}\n]\n'
    )


def test_json_of_nothing(tmp_path):
    with open_writer("json", str(tmp_path / "out"), LABELS):
        pass
    assert json.loads((tmp_path / "out").read_text()) == []


def test_jsonl(tmp_path):
    lines = written("jsonl", tmp_path / "out").splitlines()
    assert [json.loads(line) for line in lines] == [found.to_dict() for found in FOUND]


def test_jsonl_on_stdout_is_flushed_line_by_line(capsys):
    with open_writer("jsonl", "-", LABELS) as write:
        write(FOUND[1], "b")
        assert json.loads(capsys.readouterr().out) == FOUND[1].to_dict()


def test_csv(tmp_path):
    assert written("csv", tmp_path / "out") == (
        "source,class_id,name,score,x1,y1,x2,y2,width,height\n"
        "a.jpg,1,spur,0.75,10.0,20.0,30.0,60.0,100,80\n"
        "a.jpg,0,short,0.5,0.5,0.0,100.0,50.0,100,80\n"
    )


def test_yolo(tmp_path):
    written("yolo", tmp_path / "labels")
    assert {path.name: path.read_text() for path in (tmp_path / "labels").iterdir()} == {
        "a.txt": "1 0.200000 0.500000 0.200000 0.500000\n0 0.502500 0.312500 0.995000 0.625000\n",
        "b,c.txt": "",
    }


def test_coco(tmp_path):
    assert json.loads(written("coco", tmp_path / "out")) == {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 2, "file_name": "b,c.png", "width": 64, "height": 48},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 20.0, 40.0],
             "area": 800.0, "iscrowd": 0, "score": 0.75},
            {"id": 2, "image_id": 1, "category_id": 0, "bbox": [0.5, 0.0, 99.5, 50.0],
             "area": 4975.0, "iscrowd": 0, "score": 0.5},
        ],
        "categories": [{"id": 0, "name": "short"}, {"id": 1, "name": "spur"}],
    }  # fmt: skip


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "coco"])
def test_an_error_leaves_the_old_file(tmp_path, format):
    target = tmp_path / "out"
    target.write_text("old")
    with (
        pytest.raises(RuntimeError),
        open_writer(format, str(target), LABELS) as write,
    ):
        write(FOUND[0], "a")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "coco", "yolo"])
@pytest.mark.parametrize("to_stdout", [False, True])
def test_a_file_name_that_is_not_utf8(tmp_path, format, to_stdout):
    name = os.fsdecode(b"caf\xe9.png")
    destination = "-" if to_stdout and format != "yolo" else str(tmp_path / "out")
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(file), open_writer(format, destination, LABELS) as write:
        write(dataclasses.replace(FOUND[0], source=name), name)
    if format == "yolo":
        assert [os.fsencode(path.name) for path in (tmp_path / "out").iterdir()] == [b"caf\xe9.txt"]
        return
    content = file.buffer.getvalue().decode() if to_stdout else (tmp_path / "out").read_text()
    assert "caf\\udce9.png" in content
    if format in ("json", "coco"):
        read = json.loads(content)
        source = read[0]["source"] if format == "json" else read["images"][0]["file_name"]
        assert os.fsencode(source) == b"caf\xe9.png"


def test_yolo_keeps_the_sub_folders(tmp_path):
    with open_writer("yolo", str(tmp_path), LABELS) as write:
        write(FOUND[1], "deep/b.c.png")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.txt")] == ["deep/b.c.txt"]
