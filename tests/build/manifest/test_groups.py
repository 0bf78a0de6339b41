"""Groups in the build: the file, the configs, the check."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from edits import replace_in
from google.protobuf import text_format
from stub_onnx import write_detector, write_group
from tridet.processing import contract
from tridet_build.cli.main import cli
from tridet_build.errors import ManifestError, RepositoryError
from tridet_build.manifest.groups import Group, load_groups
from tridet_build.manifest.manifest import load_manifests, manifest_paths
from tridet_build.repository.check import check
from tridet_build.repository.render import render, write
from tritonclient.grpc import model_config_pb2 as pb

GOLDEN = Path(__file__).parents[1] / "golden_groups"
PERSON = "[thresholds]\nconf = 0.4\nmax_det = 20\n[batch]\nopt = 3\nmax = 6\n"
HAIRNET = "[limits]\nmax_pixels = 9000000\nmax_in_flight = 7\n[thresholds]\nconf = 0.1\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models: three detectors of 64 px, one of 96 px, a group of two."""
    write_detector(tmp_path / "person", PERSON)
    write_detector(tmp_path / "hairnet", HAIRNET, classes=2)
    write_detector(tmp_path / "third")
    write_detector(tmp_path / "wide", size=96)
    write_group(tmp_path / "line", ["person", "hairnet"])
    return tmp_path


def load(models: Path, *names: str) -> list[Group]:
    manifests = load_manifests(manifest_paths([models / name for name in names], models))
    return load_groups(models, manifests, all_loaded=not names)


def test_members_are_manifests_in_the_order_of_the_file(models: Path) -> None:
    (group,) = load(models)
    assert (group.name, [member.name for member in group.members]) == (
        "line",
        ["person", "hairnet"],
    )


def test_a_group_is_left_out_where_its_members_are(models: Path) -> None:
    assert load(models, "person", "third") == []
    assert [group.name for group in load(models, "hairnet", "person")] == ["line"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "x"\ngroup = ["person"]', "group: expected two detectors or more, got 1"),
        ('name = "x"\ngroup = []', "group: expected two detectors or more, got 0"),
        (
            'name = "x"\ngroup = ["person", "third", "person"]',
            "group: expected different detectors, got person twice",
        ),
        (
            'name = "x"\ngroup = ["person", "nobody"]',
            "group: expected detectors among hairnet, person, third, wide, got nobody",
        ),
        (
            'name = "x"\ngroup = ["person", "wide"]',
            "group: expected one input_size of all, got 64 (person), 96 (wide)",
        ),
        ('name = "person"\ngroup = ["person", "third"]', "name: 'person' is another detector's"),
        ('name = "zline"\ngroup = ["person", "third"]', "name: 'zline' is another group's name"),
        ('name = "X"\ngroup = ["person", "third"]', "name: string should match pattern"),
        ('name = "x"\ngroup = "person"', "group: input should be a valid array, got 'person'"),
        ('name = "x"', "group: required key is missing"),
        ('name = "x"\ngroup = ["a", "b"]\nsize = 3', "size: unknown key"),
        ('name = "x', "not valid TOML"),
    ],
)
def test_a_bad_group_is_one_line(models: Path, text: str, complaint: str) -> None:
    write_group(models / "a", ["person", "hairnet"])
    (models / "a" / "group.toml").write_text('name = "zline"\ngroup = ["person", "hairnet"]\n')
    (models / "z").mkdir()
    (models / "z" / "group.toml").write_text(text)
    with pytest.raises(ManifestError, match=re.escape(complaint)) as caught:
        load(models)
    assert str(caught.value).startswith(f"{models / 'z' / 'group.toml'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("thresholds", "complaint"),
    [
        ("iou = 0.5", "expected one thresholds.iou of all, got 0.7 (person), 0.5 (picky)"),
        ("agnostic = true", "one thresholds.agnostic of all, got False (person), True (picky)"),
    ],
)
def test_members_share_what_one_request_can_ask(
    models: Path, thresholds: str, complaint: str
) -> None:
    write_detector(models / "picky", f"[thresholds]\n{thresholds}\n")
    write_group(models / "x", ["person", "picky"])
    with pytest.raises(ManifestError, match=re.escape(complaint)):
        load(models)


def test_labels_that_stay_alike_are_refused(models: Path) -> None:
    replace_in(models / "third" / "detector.toml", "'c1'", "'hairnet/c0'")
    write_group(models / "x", ["third", "hairnet"])
    with pytest.raises(ManifestError, match="got hairnet/c0 twice"):
        load(models)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nms", "group 'nms': its folder 'nms' is that of 'a shared step' already"),
        ("person_detector", "its folder 'person_detector' is that of 'person' already"),
        ("wide_encoded", "its folder 'wide_encoded' is that of 'wide' already"),
    ],
)
def test_a_group_takes_nobody_elses_folder(models: Path, name: str, complaint: str) -> None:
    write_group(models / name, ["person", "third"])
    manifests = load_manifests(manifest_paths([], models))
    with pytest.raises(RepositoryError, match=complaint):
        write(manifests, models / "out", load_groups(models, manifests, all_loaded=True))
    assert not (models / "out").exists()


def test_golden(models: Path, pytestconfig: pytest.Config) -> None:
    for name in ("person", "hairnet"):
        # Rendering reads no more of them than their hash, which must not change with onnx.
        (models / name / "weights.onnx").write_bytes(b"weights")
    groups = load(models, "person", "hairnet")
    files = render(groups[0].members, groups=groups)
    texts = {
        path: content.decode()
        for path, content in files.items()
        if path.startswith("line") and path.endswith(".pbtxt")
    }
    if pytestconfig.getoption("--update-golden"):
        for path, text in texts.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_text(text)
    golden = {str(p.relative_to(GOLDEN)): p.read_text() for p in sorted(GOLDEN.rglob("*.pbtxt"))}
    assert texts == golden
    assert files["line/1/.gitkeep"] == files["line_encoded/1/.gitkeep"] == b""


@pytest.mark.parametrize("name", ["line", "line_encoded"])
def test_a_frame_is_counted_out_once_and_last(models: Path, name: str) -> None:
    write_group(models / "three", ["third", "person", "hairnet"])
    config = rendered(models, name.replace("line", "three"))
    steps = config.ensemble_scheduling.step
    assert [step.model_name for step in steps if step.model_name.startswith("pre")] == [
        "preprocess_64"
    ]
    nms = [dict(step.input_map) for step in steps if step.model_name == "nms"]
    assert [contract.ADMISSION in inputs for inputs in nms] == [False, False, True]
    assert [inputs.get(contract.AFTER) for inputs in nms] == [
        None,
        "third_num_detections",
        "person_num_detections",
    ]


def rendered(models: Path, name: str) -> pb.ModelConfig:
    manifests = load_manifests(manifest_paths([], models))
    groups = load_groups(models, manifests, all_loaded=True)
    text = render(manifests, groups=groups)[f"{name}/config.pbtxt"].decode()
    return text_format.Parse(text, pb.ModelConfig())


def test_tensors_of_members_never_have_one_name(models: Path) -> None:
    """``a`` gives a_detection_boxes, and so would the inner boxes of ``a_detection``."""
    write_detector(models / "person_detection")
    write_group(models / "near", ["person", "person_detection"])
    config = rendered(models, "near")
    given = [
        outer for step in config.ensemble_scheduling.step for outer in step.output_map.values()
    ]
    assert len(given) == len(set(given))


# Check --------------------------------------------------------------------------------------------


@pytest.fixture
def repository(models: Path) -> Path:
    runner = CliRunner()
    arguments = ["repository", "--models", str(models), "--out", str(models / "out")]
    result = runner.invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert (models / "out" / "line_encoded" / "config.pbtxt").is_file()
    return models / "out"


def edit(path: Path, change: Callable[[list[dict[str, object]]], object]) -> None:
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    parameter = config.parameters[contract.PARAM_GROUP]
    members = json.loads(parameter.string_value)
    changed = change(members)
    parameter.string_value = json.dumps(members if changed is None else changed)
    path.write_text(text_format.MessageToString(config))


def test_a_rendered_group_is_fine(repository: Path) -> None:
    assert check(repository, runtime="python") == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda members: members[1].update(labels=["c0", "c1", "c2"]),
            "tridet.group: hairnet: expected 2 names, one per class of the detector, got 3",
        ),
        (
            lambda members: members[0].update(labels="c0"),
            "tridet.group: person: expected a JSON array of names",
        ),
        (
            lambda members: members[0].update(name="third"),
            "tridet.group: third: no step third_detector",
        ),
        (lambda _: {"person": 1}, "tridet.group: expected a JSON array of objects"),
    ],
)
def test_the_labels_of_each_branch_are_checked(
    repository: Path, change: Callable[[list[dict[str, object]]], object], complaint: str
) -> None:
    edit(repository / "line" / "config.pbtxt", change)
    (finding, *_) = check(repository, runtime="python")
    assert str(finding).startswith(f"error: line/config.pbtxt: {complaint}")
