"""Images of a folder: which there are, in which order, and which can be used."""

from pathlib import Path

import pytest
from labelled_images import write_picture
from tridet_build.datasets.images import find_images, left_out, shuffled, usable
from tridet_build.errors import ImagesError


def write_images(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{index:03d}.png" for index in range(count)]
    for index, path in enumerate(paths):
        write_picture(path, index)
    return paths


def test_finds_images_in_subfolders_but_no_hidden_ones(tmp_path: Path) -> None:
    (deep,) = write_images(tmp_path / "a" / "b", 1)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".half.png").write_bytes(b"")
    assert find_images(tmp_path) == [deep]


@pytest.mark.parametrize(("folder", "complaint"), [("", "expected images"), ("no", "a folder of")])
def test_a_folder_without_images_is_refused(tmp_path: Path, folder: str, complaint: str) -> None:
    with pytest.raises(ImagesError, match=complaint):
        find_images(tmp_path / folder)


def test_the_order_hangs_on_names_alone(tmp_path: Path) -> None:
    names = [path.name for path in shuffled(write_images(tmp_path / "here", 8))]
    assert names == [path.name for path in shuffled(write_images(tmp_path / "there", 8))]


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
