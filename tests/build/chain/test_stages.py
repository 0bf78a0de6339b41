"""A stage runs when its inputs or its file have changed, and only then."""

import io
import json
from pathlib import Path

import pytest
from tridet_build.chain import stages as stages_module
from tridet_build.chain.stages import Stages
from tridet_build.errors import BuildError


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

        return stages.run("fp16", {"inputs": inputs}, self.out, make, tools=["the-tool"]).report


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


@pytest.mark.parametrize("package", ["tridet-build", "the-tool"])
def test_another_version_of_a_tool_runs_it_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    installed = {"tridet": "1", "tridet-build": "1", "the-tool": "1", "another": "1"}
    monkeypatch.setattr(
        stages_module, "installed_versions", lambda names: {name: installed[name] for name in names}
    )
    assert workshop.run("a") == {"run": 1}
    installed["another"] = "2"
    assert workshop.run("a") == {"run": 1}
    installed[package] = "2"
    assert workshop.run("a") == {"run": 2}


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


def test_notes_are_plain_json(images: Path, tmp_path: Path) -> None:
    """Another tool, or a person, can read what was done."""
    said = io.StringIO()
    work = Stages(tmp_path / "work", force=False, say=said.write)
    out = tmp_path / "work" / "x.txt"

    def make() -> dict[str, str]:
        out.parent.mkdir(exist_ok=True)
        return {"written": str(out.write_text("x"))}

    work.run("x", {"images": str(images)}, out, make)
    note = json.loads((tmp_path / "work" / "x.json").read_text())
    assert note["report"] == {"written": "1"}
    assert note["seconds"] >= 0
