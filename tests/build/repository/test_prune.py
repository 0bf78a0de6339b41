"""What an earlier rendering left is removed; what is anybody else's is not."""

from pathlib import Path

import pytest
from stub_onnx import write_detector
from tridet_build.errors import RepositoryError
from tridet_build.manifest.groups import Group
from tridet_build.manifest.manifest import load_manifests
from tridet_build.repository.prune import prune
from tridet_build.repository.render import folders, render, write


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``one`` of 64 pixels and ``two`` of 96, which is larger in every way, rendered."""
    write_detector(tmp_path / "one")
    write_detector(tmp_path / "two", "[batch]\nmax = 32\n", size=96)
    write(load_manifests([tmp_path / "one", tmp_path / "two"]), tmp_path / "out")
    return tmp_path


def test_folders_are_those_that_are_rendered(root: Path) -> None:
    both = load_manifests([root / "one", root / "two"])
    groups = [Group("pair", (both[0], both[0]))]
    assert folders(both, groups) == {path.split("/")[0] for path in render(both, groups)}


def test_a_detector_goes_with_its_ensembles_and_its_preprocess(root: Path) -> None:
    one = folders(load_manifests([root / "one"]), [])
    plan = root / "out" / "one_detector" / "1" / "model.plan"
    plan.touch()
    (root / "out" / "README.md").touch()
    assert prune(root / "out", one, []) == ["preprocess_96", "two", "two_detector", "two_encoded"]
    assert names(root / "out") == {*one, "README.md"}
    assert plan.is_file()
    assert prune(root / "out", one, []) == []


def test_what_outlasts_keeps_its_steps(root: Path) -> None:
    one = folders(load_manifests([root / "one"]), [])
    before = names(root / "out")
    assert prune(root / "out", one, ["two"]) == []
    assert names(root / "out") == before


def test_strangers_stay_and_what_they_use(root: Path) -> None:
    one = folders(load_manifests([root / "one"]), [])
    for name, text in (
        ("mine", 'platform: "ensemble" ensemble_scheduling { step {\n model_name: "two"\n} }'),
        ("empty", ""),
    ):
        (root / "out" / name).mkdir()
        (root / "out" / name / "config.pbtxt").write_text(text)
    (root / "out" / "notes").mkdir()
    elsewhere = root / "elsewhere"
    (root / "out" / "two_encoded").rename(elsewhere)
    (root / "out" / "two_encoded").symlink_to(elsewhere)
    before = names(root / "out")
    assert prune(root / "out", one, []) == []
    assert names(root / "out") == before
    (root / "out" / "mine" / "config.pbtxt").write_text("")
    assert prune(root / "out", one, []) == ["two"]
    assert names(elsewhere) == {"config.pbtxt", "1"}


def test_what_cannot_be_removed_is_an_error_and_goes_the_next_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    one = folders(load_manifests([root / "one"]), [])
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", fail)
        with pytest.raises(RepositoryError, match=r"cannot be pruned: .*Permission denied"):
            prune(root / "out", one, [])
    assert "two" in prune(root / "out", one, [])
    assert names(root / "out") == one


def test_a_shared_step_keeps_the_batches_of_whom_it_still_serves(root: Path) -> None:
    config, one = root / "out" / "nms" / "config.pbtxt", load_manifests([root / "one"])
    assert "max_batch_size: 32" in config.read_text()
    write(one, root / "out")
    assert "max_batch_size: 32" in config.read_text()
    write(one, root / "out", alone=True)
    assert "max_batch_size: 16" in config.read_text()
