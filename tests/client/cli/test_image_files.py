"""Which files of a folder are taken for images."""

import os
from pathlib import Path

import pytest
from tridet.cli.image_files import find_sources


def found(folder: Path) -> list[str]:
    images = find_sources([str(folder)], recursive=True).images
    return [os.path.relpath(source.name, folder) for source in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("d/a.png", "d/deep/b.JPG", "d/notes.txt", "store/c.webp", "store/deep/d.bmp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "d"


def test_linked_folders_are_part_of_it(folder: Path) -> None:
    (folder / "more").symlink_to(folder.parent / "store")
    (folder / "e.png").symlink_to(folder.parent / "store" / "c.webp")
    assert found(folder) == ["a.png", "deep/b.JPG", "e.png", "more/c.webp", "more/deep/d.bmp"]


def test_circles_are_walked_once(folder: Path) -> None:
    (folder / "here").symlink_to(folder)
    (folder / "more").symlink_to(folder.parent / "store")
    (folder.parent / "store" / "back").symlink_to(folder)
    assert found(folder) == ["a.png", "deep/b.JPG", "more/c.webp", "more/deep/d.bmp"]


def test_hidden_files_and_folders_are_no_part_of_it(folder: Path) -> None:
    for name in ("._a.png", ".ipynb_checkpoints/a-checkpoint.png", "deep/.thumbs/b.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert found(folder) == ["a.png", "deep/b.JPG"]


def test_what_only_looks_like_an_image_is_none(folder: Path) -> None:
    (folder / "folder.png").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.png")
    assert found(folder) == ["a.png", "deep/b.JPG"]


def output_names(*arguments: object, recursive: bool = True) -> list[str]:
    images = find_sources(map(str, arguments), recursive).images
    return [source.output_name for source in images]


def test_what_is_made_of_an_image_lies_in_its_sub_folders(folder: Path) -> None:
    assert output_names(folder, recursive=False) == ["a.png"]
    assert output_names(folder, folder.parent / "store") == [
        "a.png",
        "deep/b.JPG",
        "c.webp",
        "deep/d.bmp",
    ]
    assert output_names(f"{folder.parent}/**/*.bmp") == ["store/deep/d.bmp"]
    # The shell's own ** leaves names only.
    assert output_names(folder / "deep/b.JPG", folder / "a.png") == ["b.JPG", "a.png"]


def test_equal_names_are_numbered_within_their_folder(folder: Path) -> None:
    for name in ("deep/B.png", "a.jpg", "a.b.png"):
        (folder / name).touch()
    assert output_names(folder) == ["a.b.png", "a.jpg", "a-2.png", "deep/B.png", "deep/b-2.JPG"]


def test_formats_that_cannot_be_written_in_colour_are_saved_as_png(folder: Path) -> None:
    names = ("x.gif", "y.AVIF", "z.jp2", "t.tif")
    for name in names:
        (folder / name).touch()
    assert output_names(*(folder / name for name in names)) == ["x.png", "y.png", "z.png", "t.tif"]


def test_skipped_files_are_counted(folder: Path) -> None:
    for name in ("deep/v.mp4", "deep/more.TXT", "Makefile", ".hidden"):
        (folder / name).touch()
    assert find_sources([str(folder)], recursive=True).skipped == {
        ".txt": 2,
        ".mp4": 1,
        "Makefile": 1,
    }
    assert find_sources([str(folder)], recursive=False).skipped == {".txt": 1, "Makefile": 1}
