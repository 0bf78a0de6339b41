"""`tridet-build repository`: one that is broken stops no other, and what is gone is removed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from edits import replace_in
from stub_onnx import write_detector, write_group
from tridet_build.cli.main import cli


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_detector(tmp_path / "models" / "good")
    write_detector(tmp_path / "models" / "bad", "[batch]\nmax = 32\n", size=96)
    return tmp_path / "models"


def render(models: Path, *arguments: object) -> Result:
    where = ("--models", models, "--out", models.parent / "out", "--work", models.parent / "work")
    return CliRunner().invoke(cli, ["repository", *map(str, (*where, *arguments))])


def served(models: Path) -> set[str]:
    return {path.parent.name for path in (models.parent / "out").glob("*/config.pbtxt")}


GOOD = {"good", "good_encoded", "good_detector", "preprocess_64", "nms"}
BAD = {"bad", "bad_encoded", "bad_detector", "preprocess_96"}


def broken_toml(folder: Path) -> None:
    (folder / "detector.toml").write_text("name = \n")


def unknown_key(folder: Path) -> None:
    replace_in(folder / "detector.toml", "candidates", "candidatse")


def no_weights(folder: Path) -> None:
    (folder / "weights.onnx").unlink()


def junk_weights(folder: Path) -> None:
    (folder / "weights.onnx").write_bytes(b"no model")


def unreadable(folder: Path) -> None:
    (folder / "detector.toml").write_bytes(b"\xff\xfe\x00")


def a_folder(folder: Path) -> None:
    (folder / "detector.toml").unlink()
    (folder / "detector.toml").mkdir()


BREAK = [broken_toml, unknown_key, no_weights, junk_weights, unreadable, a_folder]


@pytest.mark.parametrize("spoil", BREAK)
def test_a_broken_detector_is_named_and_the_others_are_rendered(
    models: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(models / "bad")
    result = render(models)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert str(models / "bad") in errors[0]
    assert "tridet-build: warning: bad will NOT be served" in result.stderr
    assert served(models) == GOOD
    assert render(models, "--keep-going").exit_code == 0


@pytest.mark.parametrize("spoil", BREAK)
def test_it_stays_as_it_was_rendered_before(models: Path, spoil: Callable[[Path], None]) -> None:
    assert render(models).exit_code == 0
    spoil(models / "bad")
    result = render(models)
    assert result.exit_code == 1
    assert "tridet-build: warning: bad stays as it was rendered before" in result.stderr
    assert served(models) == GOOD | BAD
    nms = (models.parent / "out" / "nms" / "config.pbtxt").read_text()
    assert "max_batch_size: 32" in nms


def test_nothing_ready_fails_and_changes_nothing(models: Path) -> None:
    for name in ("good", "bad"):
        junk_weights(models / name)
    result = render(models, "--keep-going")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 2
    assert served(models) == set()


def test_a_group_with_a_broken_member_is_left_out_and_named(models: Path) -> None:
    write_detector(models / "third")
    write_group(models / "pair", ["good", "third"])
    assert render(models).exit_code == 0
    assert "pair" in served(models)
    junk_weights(models / "third")
    result = render(models)
    assert result.exit_code == 1
    assert "models/pair/group.toml: group: expected detectors among" in result.stderr
    assert not {"pair", "pair_encoded"} & served(models)
    assert served(models) >= GOOD | BAD | {"third", "third_detector"}


def test_two_of_one_name_are_an_error_and_the_first_is_rendered(models: Path) -> None:
    replace_in(models / "good" / "detector.toml", '"good"', '"bad"')
    result = render(models)
    assert result.exit_code == 1
    assert "good/detector.toml: name: that of another detector, bad" in result.stderr
    assert "warning" not in result.stderr
    assert served(models) == BAD | {"nms"}


def test_what_was_rendered_of_a_manifest_that_is_gone_is_removed(models: Path) -> None:
    write_detector(models / "third")
    write_group(models / "pair", ["good", "third"])
    assert render(models).exit_code == 0
    stranger = models.parent / "out" / "mine" / "config.pbtxt"
    stranger.parent.mkdir()
    stranger.write_text('backend: "python"\n')
    for name in ("bad", "third", "pair"):
        shutil.rmtree(models / name)
    result = render(models)
    assert result.exit_code == 0, result.output
    assert served(models) == GOOD | {"mine"}
    gone = "bad, bad_detector, bad_encoded, pair, pair_encoded, preprocess_96"
    assert f"out: {gone}, third, third_detector, third_encoded removed" in result.stderr
    assert "removed" not in render(models).stderr


def test_a_chosen_manifest_removes_nothing(models: Path) -> None:
    assert render(models).exit_code == 0
    before = served(models)
    shutil.rmtree(models / "bad")
    assert render(models, models / "good").exit_code == 0
    assert served(models) == before
