"""tools/check_dataset.py finds each planted fault, and nothing in a sound data set."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dataset_checks.leakage import MOST_BITS, twins
from dataset_checks.scan import perceptual_hash, scan_image
from labelled_images import write_picture, write_yolo
from programs import run_program
from self_contained import check_self_contained

GOOD = "0 0.5 0.5 0.5 0.5\n1 0.3 0.3 0.2 0.2\n2 0.6 0.6 0.3 0.3\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "data", {"train": [GOOD] * 4, "val": [GOOD, GOOD, ""]})


def run(*arguments: str | Path) -> Any:
    return run_program("check_dataset.py", *arguments, "--workers", "1")


def checked(data: Path, out: Path) -> tuple[int, set[tuple[str, str, str]]]:
    """Return the exit code and the (severity, kind, file name) of the faults."""
    done = run(data, "--out", out)
    report = json.loads((out / "report.json").read_text())
    check_self_contained(out / "report.html")
    faults = {(f["severity"], f["kind"], Path(f["file"]).name) for f in report["faults"]}
    return done.exit_code, faults


def test_a_sound_data_set(data: Path, tmp_path: Path) -> None:
    assert checked(data, tmp_path / "out") == (0, set())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [split["images"] for split in report["splits"]] == [4, 3]
    assert [split["per_class"] for split in report["splits"]] == [[4, 4, 4], [2, 2, 2]]
    assert report["splits"][1]["empty_images"] == 1
    assert report["splits"][0]["sizes"] == [[96, 64, 4]]
    assert sum(report["box_sides"]["boxes"]) == 18


def test_each_planted_fault(data: Path, tmp_path: Path) -> None:
    root = data.parent
    images, labels = root / "images", root / "labels"
    (images / "train" / "train0.png").write_bytes(b"no picture")
    whole = (images / "train" / "train1.png").read_bytes()
    (images / "train" / "train1.png").write_bytes(whole[: len(whole) // 2])
    lines = ["7 0.5 0.5 0.1 0.1", "word", "0 0.5 2 0.1 0.1", "0 0.5 0.5 0 0", "0 0.5 0.5 0.002 0.1"]
    (labels / "train" / "train2.txt").write_text("\n".join([GOOD + GOOD, *lines]))
    (labels / "val" / "val0.txt").unlink()
    (labels / "val" / "orphan.txt").write_text(GOOD)
    (images / "val" / "leak.png").write_bytes((images / "train" / "train3.png").read_bytes())
    (labels / "val" / "leak.txt").write_text(GOOD)
    picture = cv2.imread(str(images / "train" / "train2.png"))
    cv2.imwrite(str(images / "val" / "near.jpg"), cv2.resize(picture, (192, 128)))
    (labels / "val" / "near.txt").write_text(GOOD)
    assert checked(data, tmp_path / "out") == (
        1,
        {
            ("error", "unreadable image", "train0.png"),
            ("error", "unreadable image", "train1.png"),
            ("error", "class beyond names", "train2.txt"),
            ("error", "malformed line", "train2.txt"),
            ("error", "box out of range", "train2.txt"),
            ("error", "empty box", "train2.txt"),
            ("warning", "duplicated label", "train2.txt"),
            ("warning", "tiny box", "train2.png"),
            ("warning", "image without labels", "val0.png"),
            ("warning", "labels without image", "orphan.txt"),
            ("error", "leak between splits", "train3.png"),
            ("warning", "possible leak between splits", "train2.png"),
        },
    )


def test_warnings_alone_are_no_failure(data: Path, tmp_path: Path) -> None:
    again = data.parent / "images" / "train" / "again.png"
    again.write_bytes((data.parent / "images" / "train" / "train0.png").read_bytes())
    for path in (data.parent / "labels").rglob("*.txt"):
        path.write_text(GOOD.replace("2 0.6", "1 0.6"))
    assert checked(data, tmp_path / "out") == (
        0,
        {
            ("warning", "duplicated image", "again.png"),
            ("warning", "image without labels", "again.png"),
            ("warning", "class without objects", "data.yaml"),
        },
    )


def test_a_rare_class(data: Path, tmp_path: Path) -> None:
    many = "".join(f"0 {0.2 + i / 400:.4f} 0.5 0.3 0.3\n" for i in range(60))
    for path in (data.parent / "labels" / "train").glob("*.txt"):
        path.write_text(many)
    for path in (data.parent / "labels" / "val").glob("*.txt"):
        path.write_text("1 0.5 0.5 0.3 0.3\n2 0.5 0.5 0.3 0.3\n")
    assert {kind for _, kind, _ in checked(data, tmp_path / "out")[1]} == {"rare class"}


def test_coco_files_are_splits(tmp_path: Path) -> None:
    """The second states another size than its picture has."""
    for seed, (name, size) in enumerate({"train": (96, 64), "val": (64, 96)}.items()):
        folder = tmp_path / name
        write_picture(folder / "a.png", seed)
        image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
        note = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 50, 50]}
        content = {"images": [image], "categories": [{"id": 1, "name": "x"}], "annotations": [note]}
        (folder / "_annotations.coco.json").write_text(json.dumps(content))
    done = run(tmp_path / "train", tmp_path / "val", "--out", tmp_path / "out")
    assert done.exit_code == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [split["name"] for split in report["splits"]] == ["train", "val"]
    assert [fault["kind"] for fault in report["faults"]] == ["wrong image size"]


def test_what_is_no_data_set(tmp_path: Path) -> None:
    done = run(tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("check_dataset.py: error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_hash_survives_what_exports_do_to_a_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1, (640, 480))
    write_picture(tmp_path / "b.png", 2, (640, 480))
    picture = cv2.imread(str(tmp_path / "a.png"))
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    brighter = cv2.convertScaleAbs(half, alpha=0.9, beta=12)
    cv2.imwrite(str(tmp_path / "c.jpg"), brighter, [cv2.IMWRITE_JPEG_QUALITY, 60])
    scans = [scan_image(tmp_path / name) for name in ("a.png", "b.png", "c.jpg")]
    assert [(twin.first, twin.second, twin.same_file) for twin in twins(scans)] == [(0, 2, False)]
    differing = np.count_nonzero(perceptual_hash(picture) != scans[1].bits)
    assert differing > 2 * MOST_BITS
