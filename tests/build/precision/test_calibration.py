import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from stub_onnx import write_stub
from tridet_build.datasets.images import find_images, left_out, letterboxed, shuffled, usable
from tridet_build.errors import CalibrationError, ImagesError
from tridet_build.onnx.serving_graph import serving_graph
from tridet_build.precision.calibration import (
    Reader,
    choose,
    load_scales,
    planes_from_canvases,
    save_scales,
)

SETTINGS = {"model": "a", "images": ["b", "c"], "method": "entropy", "input_size": 64}


def write_images(folder: Path, count: int, *, start: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(start, start + count):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        paths.append(folder / f"{index:03d}.png")
        cv2.imwrite(str(paths[-1]), pixels)
    return paths


def test_planes_are_those_of_the_serving_graph(tmp_path: Path) -> None:
    """The same frame through the plain graph as calibrated and through the graph as served."""
    write_stub(tmp_path / "stub.onnx")
    (path,) = write_images(tmp_path / "images", 1)
    canvas, undo = letterboxed(path.read_bytes(), 64)
    assert (canvas.shape, canvas.dtype, undo.shape) == ((64, 64, 3), np.uint8, (6,))
    assert (canvas[0] == 114).all()

    plain = onnxruntime.InferenceSession(str(tmp_path / "stub.onnx"))
    raw = plain.run(None, {"images": planes_from_canvases(canvas[None])})[0][0]
    graph = serving_graph(tmp_path / "stub.onnx", input_size=64, classes=3, candidates=84)
    served = onnxruntime.InferenceSession(graph.SerializeToString())
    scores = served.run(["scores"], {"images": canvas[None]})[0][0]
    np.testing.assert_array_equal(scores, np.sort(raw[4:].max(axis=0))[::-1])


def test_planes_are_rgb_from_0_to_1() -> None:
    canvas = np.zeros((1, 2, 2, 3), np.uint8)
    canvas[..., 0] = 255  # blue
    planes = planes_from_canvases(canvas)
    assert planes.shape == (1, 3, 2, 2)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    assert (planes[0, 2] == 1).all()
    assert not planes[0, :2].any()


def test_finds_images_in_subfolders_but_no_hidden_ones(tmp_path: Path) -> None:
    (deep,) = write_images(tmp_path / "a" / "b", 1)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".half.png").write_bytes(b"")
    assert find_images(tmp_path) == [deep]


@pytest.mark.parametrize(("folder", "complaint"), [("", "expected images"), ("no", "a folder of")])
def test_a_folder_without_images_is_refused(tmp_path: Path, folder: str, complaint: str) -> None:
    with pytest.raises(ImagesError, match=complaint):
        find_images(tmp_path / folder)


def test_a_smaller_choice_is_a_part_of_every_larger_one(tmp_path: Path) -> None:
    images = write_images(tmp_path, 12)
    few = choose(images, 4, minimum=2)
    many = choose(list(reversed(images)), 9, minimum=2)
    assert many.images[:4] == few.images
    assert many.sha256[:4] == few.sha256
    assert list(many.images) != images[:9]
    assert few.digest != many.digest


def test_the_order_hangs_on_names_alone(tmp_path: Path) -> None:
    names = [path.name for path in shuffled(write_images(tmp_path / "here", 8))]
    assert names == [path.name for path in shuffled(write_images(tmp_path / "there", 8))]


def test_unreadable_images_are_counted_and_replaced(tmp_path: Path) -> None:
    images = write_images(tmp_path, 6)
    broken = shuffled(images)[0]
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    chosen = choose(images, 5, minimum=5)
    assert len(chosen.images) == 5
    assert broken not in chosen.images
    assert len(chosen.unreadable) == 1
    assert chosen.unreadable[0].startswith(f"{broken}: ")


def test_too_few_usable_images_stop_with_both_numbers(tmp_path: Path) -> None:
    images = write_images(tmp_path, 33)
    for path in images[:2]:
        path.write_bytes(b"")
    with pytest.raises(ImagesError) as caught:
        choose(images, 500)
    message = str(caught.value)
    assert "expected 32 usable images or more, got 31" in message
    assert "of 2 unreadable ones" in message
    assert "\n" not in message
    with pytest.raises(CalibrationError, match="samples: expected 32 or more, got 8"):
        choose(images, 8)


def test_what_is_left_out_is_said_by_name_the_first_few_of_many(tmp_path: Path) -> None:
    images = write_images(tmp_path, 9)
    for path in images[1:8]:
        path.write_bytes(b"half")
    chosen = usable(images, "gate")
    assert chosen.images == (images[0], images[8])
    (line,) = left_out("gate", chosen.unreadable)
    assert line.startswith(f"note: gate: 7 images cannot be read, left out: {images[1]}: ")
    assert line.endswith("; and 2 more")
    assert [str(path) in line for path in images[1:8]] == [True] * 5 + [False] * 2
    # The first image will do: the others are not looked at.
    assert left_out("gate", usable(images, "gate", most=1).unreadable) == []


def test_reader_feeds_one_image_a_time_and_can_begin_anew(tmp_path: Path) -> None:
    images = write_images(tmp_path, 3)
    seen: list[tuple[int, int]] = []
    reader = Reader(images, "images", 64, progress=lambda *done: seen.append(done))
    first = reader.get_first()
    fed = list(iter(reader.get_next, None))
    assert [sorted(item) for item in fed] == [["images"]] * 3
    assert fed[0]["images"].shape == (1, 3, 64, 64)
    np.testing.assert_array_equal(first["images"], fed[0]["images"])
    assert seen == [(1, 3), (2, 3), (3, 3)]
    reader.rewind()
    again = reader.get_next()
    assert again is not None
    np.testing.assert_array_equal(again["images"], first["images"])
    assert len(reader) == 3


def test_scales_come_back_for_the_same_settings_only(tmp_path: Path) -> None:
    scales = {"conv": 0.1234567890123, "add": 3e-5}
    save_scales(tmp_path, SETTINGS, scales)
    assert load_scales(tmp_path, dict(reversed(SETTINGS.items()))) == scales
    for key, value in {
        "model": "z",
        "images": ["b"],
        "method": "minmax",
        "input_size": 96,
        "more": 1,
    }.items():
        assert load_scales(tmp_path, {**SETTINGS, key: value}) is None
    assert load_scales(tmp_path / "elsewhere", SETTINGS) is None


def test_a_renamed_or_damaged_cache_is_not_used(tmp_path: Path) -> None:
    path = save_scales(tmp_path, SETTINGS, {"conv": 0.5})
    other = save_scales(tmp_path, {**SETTINGS, "model": "z"}, {"conv": 0.25})
    content = path.read_text()
    path.write_text(other.read_text())
    assert load_scales(tmp_path, SETTINGS) is None
    path.write_text(content[: len(content) // 2])
    assert load_scales(tmp_path, SETTINGS) is None
    for scale in (0.0, -1.0, float("nan"), "x"):
        path.write_text(json.dumps({**json.loads(content), "scales": {"conv": scale}}))
        assert load_scales(tmp_path, SETTINGS) is None
    path.write_text(content)
    assert load_scales(tmp_path, SETTINGS) == {"conv": 0.5}


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationError, match="cannot be written") as caught:
        save_scales(tmp_path / "file", SETTINGS, {"conv": 0.5})
    assert "\n" not in str(caught.value)
