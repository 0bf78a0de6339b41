"""Which files of a folder are taken for images."""

import os
from pathlib import Path

import pytest
from tridet.cli.image_files import find_sources


def found(folder: Path) -> list[str]:
    sources, _ = find_sources([str(folder)], recursive=True)
    return [os.path.relpath(source.name, folder) for source in sources]


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
