"""A stage runs when its inputs or its file have changed, and only then."""

from pathlib import Path

import pytest
from tridet_build.chain.stages import Stages
from tridet_build.errors import BuildError
from tridet_build.hashes import sha256_of_all


class Workshop:
    """One stage that writes what it is told, and counts how often it did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.said = folder, 0, []
        self.out = folder / "made.onnx"

    def run(self, inputs: object, *, content: str = "made", force: bool = False) -> dict:
        stages = Stages(self.folder, force=force, say=self.said.append)

        def make() -> dict[str, int]:
            self.runs += 1
            self.folder.mkdir(parents=True, exist_ok=True)
            self.out.write_text(content)
            return {"run": self.runs}

        return stages.run("fp16", {"inputs": inputs}, self.out, make).report


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "work")


def test_the_second_time_it_is_skipped_and_reports_the_same(workshop: Workshop) -> None:
    assert workshop.run({"size": [64, 64]}) == {"run": 1}
    assert workshop.run({"size": [64, 64]}) == {"run": 1}
    assert workshop.said == ["fp16 …", "fp16: unchanged, skipped"]


def test_other_inputs_a_changed_file_and_force_run_it_again(workshop: Workshop) -> None:
    workshop.run("a")
    assert workshop.run("b") == {"run": 2}
    workshop.out.write_text("damaged")
    assert workshop.run("b") == {"run": 3}
    workshop.out.unlink()
    assert workshop.run("b") == {"run": 4}
    assert workshop.run("b", force=True) == {"run": 5}


@pytest.mark.parametrize("note", ["", "{", '{"key": 1}'])
def test_a_damaged_note_is_no_note(workshop: Workshop, note: str) -> None:
    workshop.run("a")
    (workshop.folder / "fp16.json").write_text(note)
    assert workshop.run("a") == {"run": 2}


def test_a_failed_stage_is_not_remembered(workshop: Workshop) -> None:
    stages = Stages(workshop.folder, force=False, say=workshop.said.append)

    def fail() -> dict[str, int]:
        workshop.folder.mkdir(parents=True)
        workshop.out.write_text("half")
        raise BuildError("no")

    with pytest.raises(BuildError, match="no"):
        stages.run("fp16", {"inputs": "a"}, workshop.out, fail)
    assert workshop.run("a") == {"run": 1}


def test_the_hash_of_several_files_ignores_names_and_order(tmp_path: Path) -> None:
    one, two, same = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_text("a")
    two.write_text("b")
    same.write_text("a")
    assert sha256_of_all([one, two]) == sha256_of_all([two, same])
    assert sha256_of_all([one]) != sha256_of_all([one, same])
