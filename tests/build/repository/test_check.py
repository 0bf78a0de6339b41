import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from build_records import L4, RECORD
from google.protobuf import text_format
from plan_files import RTX, TENSORRT, wrapped
from stub_onnx import write_detector, write_dynamic_detector, write_sampling_stub
from tridet_build.chain.record import BuildRecord, record_file, write_record
from tridet_build.errors import CheckError, PlanError
from tridet_build.manifest.manifest import load_manifests
from tridet_build.onnx.serving_graph import serving_graph
from tridet_build.plan import inspect as plan_inspect
from tridet_build.plan.inspect import EngineInfo, TensorInfo
from tridet_build.repository.check import Finding, check, failed, table
from tridet_build.repository.check_tensors import onnx_model
from tridet_build.repository.preflight import Machine, outdated
from tridet_build.repository.render import write
from tritonclient.grpc import model_config_pb2 as pb

HERE = Machine("10.14.1.48", (L4,))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_detector(tmp_path / "models" / "one")
    write(load_manifests([tmp_path / "models" / "one"]), tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    """The repository of a detector that takes 64 to 160 pixels."""
    write_dynamic_detector(tmp_path / "models" / "one")
    write(load_manifests([tmp_path / "models" / "one"]), tmp_path / "dynamic")
    return tmp_path / "dynamic"


def edit(path: Path, change: Callable[[pb.ModelConfig], None]) -> None:
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    change(config)
    path.write_text(text_format.MessageToString(config))


def texts(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


def test_a_rendered_repository_is_fine(repository: Path) -> None:
    assert check(repository, runtime="onnxruntime") == []
    assert check(repository, runtime="python") == []
    assert not failed([])


@pytest.mark.parametrize(
    ("release", "old"),
    [(None, False), ("24.10", True), ("26.06", True), ("26.07", False), ("27.01", False)],
)
def test_a_release_with_known_security_holes(
    release: str | None, old: bool, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (outdated(release) is not None) == old
    monkeypatch.setenv("NVIDIA_TRITON_SERVER_VERSION", release or "")
    findings = check(repository)
    assert not failed(findings)
    assert [(finding.level, finding.path) for finding in findings] == [
        ("warning", "tritonserver")
    ] * old


@pytest.mark.parametrize("runtime", ["onnxruntime", "python"])
def test_a_graph_that_takes_fewer_sizes_than_its_config(dynamic: Path, runtime: str) -> None:
    assert check(dynamic, runtime=runtime) == []  # type: ignore[arg-type]
    weights = dynamic / "weights.onnx"
    write_sampling_stub(weights, size=96)
    graph = serving_graph(weights, input_size=96, classes=3, candidates=40)
    onnx.save(graph, dynamic / "one_detector" / "1" / "model.onnx")
    assert "input images: expected UINT8 [-1, -1, 3], as in the config, got UINT8 [96, 96" in texts(
        check(dynamic, runtime=runtime)  # type: ignore[arg-type]
    )


def test_the_committed_repository_is_fine() -> None:
    root = Path(__file__).parents[3] / "model_repository"
    findings = check(root, runtime="onnxruntime")
    # model.onnx is made where it is served.
    assert [f for f in findings if "model.onnx: no such file" not in str(f)] == []


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="no such repository; `make repository` makes it"):
        check(tmp_path / "none")
    with pytest.raises(CheckError, match="expected a folder per model, found none"):
        check(tmp_path)


def test_a_config_that_does_not_parse(repository: Path) -> None:
    (repository / "nms" / "config.pbtxt").write_text('name: "nms"\nplatfrom: "x"\n')
    findings = check(repository)
    assert "error: nms/config.pbtxt: config.pbtxt: does not parse: 2:1 : " in texts(findings)
    # The ensembles miss it too.
    assert "error: one/config.pbtxt: step nms: no such model" in texts(findings)
    assert failed(findings)
    assert len(table(findings).rows) == len(findings)


def test_a_folder_without_a_config_and_one_of_another_name(repository: Path) -> None:
    (repository / "stray").mkdir()
    (repository / "nms").rename(repository / "other")
    found = texts(check(repository))
    assert "stray/config.pbtxt: no such file; a folder here must hold a model" in found
    assert "other/config.pbtxt: name: expected 'other', the folder's, got 'nms'" in found


def test_a_version_folder_is_missing(repository: Path) -> None:
    (repository / "one" / "1" / ".gitkeep").unlink()
    (repository / "one" / "1").rmdir()
    assert texts(check(repository)) == "error: one: expected a version folder `1`, found none"


@pytest.mark.parametrize(
    ("runtime", "file", "fix"),
    [
        ("onnxruntime", "model.onnx", "make repository"),
        ("python", "model.onnx", "make repository"),
        ("python", "model.py", "make repository"),
    ],
)
def test_a_file_is_missing(repository: Path, runtime: str, file: str, fix: str) -> None:
    (repository / "one_detector" / "1" / file).unlink()
    findings = check(repository, runtime=runtime)  # type: ignore[arg-type]
    assert texts(findings) == f"error: one_detector/1/{file}: no such file; `{fix}` makes it"


def test_onnx_and_config_differ(repository: Path) -> None:
    def shrink(config: pb.ModelConfig) -> None:
        config.output[0].dims[0] = 300
        config.output[1].name = "confidences"
        config.input[0].data_type = pb.TYPE_FP32

    edit(repository / "one_detector" / "configs" / "onnxruntime.pbtxt", shrink)
    found = texts(check(repository))
    where = "error: one_detector/1/model.onnx: "
    assert where + "input images: expected FP32 [64, 64, 3], as in the config, got UINT8" in found
    assert where + "output boxes: expected FP32 [300, 4], as in the config, got FP32 [40" in found
    assert where + "output confidences: the config has it, the model has not" in found
    assert where + "output scores: the model has it, the config has not" in found


def test_a_damaged_onnx(repository: Path) -> None:
    (repository / "one_detector" / "1" / "model.onnx").write_bytes(b"half")
    assert "model.onnx: not a readable ONNX model" in texts(check(repository))


def test_labels_are_as_many_as_the_classes(repository: Path) -> None:
    def relabel(config: pb.ModelConfig) -> None:
        config.parameters["tridet.labels"].string_value = json.dumps(["c0", "c1"])

    edit(repository / "one" / "config.pbtxt", relabel)
    (finding,) = check(repository)
    assert "tridet.labels: expected 3 names, one per class of the detector, got 2" in str(finding)


@pytest.mark.parametrize(
    ("constants", "names", "classes"),
    [
        ({"box_and_classes": [4, 6]}, "{0: 'a'}", 6),
        ({"box_object_classes": [4, 1, 80]}, None, 80),
        ({}, "{0: 'a', 1: 'b'}", 2),
        ({}, "__import__('os')", None),
        ({}, None, None),
    ],
)
def test_classes_of_an_onnx(
    tmp_path: Path, constants: dict[str, list[int]], names: str | None, classes: int | None
) -> None:
    graph = onnx.parser.parse_graph("g (float[n, 1] a) => (float[n, 1] b) { b = Relu (a) }")
    for name, value in constants.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
    if names:
        onnx.helper.set_model_props(model, {"names": names})
    onnx.save(model, tmp_path / "model.onnx")
    found = onnx_model(tmp_path / "model.onnx")
    assert (found.inputs, found.classes) == ({"a": ("FP32", [1])}, classes)


def test_labels_are_names(repository: Path) -> None:
    def relabel(config: pb.ModelConfig) -> None:
        config.parameters["tridet.labels"].string_value = "c0,c1"

    edit(repository / "one" / "config.pbtxt", relabel)
    assert "tridet.labels: expected a JSON array of names" in texts(check(repository))


def test_the_steps_of_an_ensemble_fit(repository: Path) -> None:
    def break_steps(config: pb.ModelConfig) -> None:
        config.max_batch_size = 99
        first, second, third = config.ensemble_scheduling.step
        first.output_map["nothing"] = "letterbox"
        second.input_map["images"] = "letterbox"
        del third.input_map["scores"]
        config.output[0].name = "count"

    edit(repository / "one" / "config.pbtxt", break_steps)
    found = texts(check(repository))
    for text in (
        "max_batch_size: expected at most 16, that of step preprocess_64, got 99",
        "step preprocess_64: has no output nothing",
        "step one_detector: input images: expected UINT8 [64, 64, 3], got FP32 [6] from letterbox",
        "step nms: input scores: nothing is given to it",
        "output count: no step gives it",
    ):
        assert f"error: one/config.pbtxt: {text}" in found


def test_a_step_input_comes_from_nowhere(repository: Path) -> None:
    def break_steps(config: pb.ModelConfig) -> None:
        config.ensemble_scheduling.step[0].input_map["PICTURE"] = "photo"

    edit(repository / "one" / "config.pbtxt", break_steps)
    found = texts(check(repository))
    assert "step preprocess_64: has no input PICTURE" in found
    assert "step preprocess_64: nothing gives photo" in found


# Plans --------------------------------------------------------------------------------------------


def place(repository: Path, content: bytes, record: BuildRecord | None = RECORD) -> None:
    version = repository / "one_detector" / "1"
    (version / "model.plan").write_bytes(content)
    if record:
        assert record.plan is not None
        plan = replace(record.plan, bytes=len(content))
        graph = record_file(version / "model.onnx")
        write_record(version / "build.json", replace(record, plan=plan, graph=graph))


@pytest.fixture
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Path) -> EngineInfo:
        raise PlanError("a plan needs Polygraphy and TensorRT, found no tensorrt")

    monkeypatch.setattr(plan_inspect, "engine_info", absent)


def test_no_plan(repository: Path) -> None:
    findings = check(repository, runtime="tensorrt", here=HERE)
    assert texts(findings) == (
        "error: one_detector/1/model.plan: no such file; `make plans` makes it"
    )


@pytest.mark.usefixtures("no_tensorrt")
def test_a_plan_that_fits(repository: Path) -> None:
    place(repository, TENSORRT)
    assert check(repository, runtime="tensorrt", here=HERE) == []


@pytest.mark.usefixtures("no_tensorrt")
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (wrapped(), "an Ultralytics .engine (TensorRT 10.14.1.48 inside), not a plan"),
        (RTX, "compiled with TensorRT for RTX 1.7.1.116, which Triton does not load"),
        (b"", "an empty file; build it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a text file, not a plan (a Git LFS"),
    ],
)
def test_what_is_no_plan(repository: Path, content: bytes, complaint: str) -> None:
    place(repository, content, None)
    served = check(repository, runtime="tensorrt", here=HERE)
    assert f"error: one_detector/1/model.plan: {complaint}" in texts(served)
    # Served as ONNX, the plan is left alone.
    other = check(repository, runtime="onnxruntime")
    assert f"warning: one_detector/1/model.plan: {complaint}" in texts(other)
    assert not failed(other)


def test_an_onnx_named_plan(repository: Path) -> None:
    version = repository / "one_detector" / "1"
    place(repository, onnx.load(version / "model.onnx").SerializeToString(), None)
    found = texts(check(repository, runtime="tensorrt", here=HERE))
    assert "model.plan: an ONNX file under the name of a plan" in found


@pytest.mark.usefixtures("no_tensorrt")
def test_plan_and_record_are_of_different_builds(repository: Path) -> None:
    place(repository, TENSORRT)
    (repository / "one_detector" / "1" / "model.plan").write_bytes(TENSORRT + b"more")
    (finding,) = check(repository, runtime="tensorrt", here=HERE)
    assert finding.level == "warning"
    assert "the two are of different builds" in finding.message


@pytest.mark.usefixtures("no_tensorrt")
def test_a_plan_of_another_graph_is_not_served(repository: Path) -> None:
    place(repository, TENSORRT)
    graph = repository / "one_detector" / "1" / "model.onnx"
    model = onnx.load(graph)
    model.producer_version = "another"
    onnx.save(model, graph)
    (finding,) = check(repository, runtime="tensorrt", here=HERE)
    assert finding.level == "error"
    assert "built from another serving graph than the model.onnx beside it" in finding.message
    assert not failed(check(repository, runtime="onnxruntime"))


@pytest.mark.usefixtures("no_tensorrt")
def test_a_damaged_record_is_a_warning(repository: Path) -> None:
    place(repository, TENSORRT)
    (repository / "one_detector" / "1" / "build.json").write_text("{}")
    findings = check(repository, runtime="tensorrt", here=HERE)
    assert "warning: one_detector/1/build.json: not a build record: " in texts(findings)
    assert not failed(findings)


def engine(
    images: tuple[int, ...] = (-1, 64, 64, 3),
    largest: int = 16,
    sides: tuple[int, int, int] = (64, 64, 64),
) -> EngineInfo:
    profile = tuple((n, s, s, 3) for n, s in zip((1, 8, largest), sides, strict=True))
    return EngineInfo(
        "10.14.1.48",
        (
            TensorInfo("images", True, "UINT8", images, (profile,)),  # type: ignore[arg-type]
            TensorInfo("boxes", False, "FLOAT", (-1, 40, 4)),
            TensorInfo("scores", False, "FLOAT", (-1, 40)),
            TensorInfo("class_ids", False, "INT32", (-1, 40)),
        ),
        10,
        0,
        {},
    )


@pytest.mark.parametrize(
    ("info", "complaint"),
    [
        (engine(), ""),
        (engine((-1, 3, 64, 64)), "input images: expected UINT8 [64, 64, 3], as in the config"),
        (engine(largest=8), "expected batches up to 16 (max_batch_size), the plan's profile ends"),
    ],
)
def test_the_engine_fits_the_config(
    repository: Path, monkeypatch: pytest.MonkeyPatch, info: EngineInfo, complaint: str
) -> None:
    place(repository, TENSORRT)
    monkeypatch.setattr(plan_inspect, "engine_info", lambda _: info)
    findings = check(repository, runtime="tensorrt", here=HERE)
    assert complaint in texts(findings)
    assert failed(findings) == bool(complaint)


@pytest.mark.parametrize(
    ("sides", "complaint"),
    [
        ((64, 96, 160), ""),
        ((32, 96, 640), ""),
        ((96, 96, 160), "expected input sizes from 64 to 160, as clients may ask for, the plan's"),
        ((64, 96, 128), "profile is from 64 to 128; build it with the manifest's input_size"),
    ],
)
def test_the_engines_profile_covers_the_sizes(
    dynamic: Path, monkeypatch: pytest.MonkeyPatch, sides: tuple[int, int, int], complaint: str
) -> None:
    place(dynamic, TENSORRT)
    info = engine((-1, -1, -1, 3), sides=sides)
    monkeypatch.setattr(plan_inspect, "engine_info", lambda _: info)
    findings = check(dynamic, runtime="tensorrt", here=HERE)
    assert complaint in texts(findings)
    assert failed(findings) == bool(complaint)


def test_an_engine_that_tensorrt_refuses(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(repository, TENSORRT)

    def refuse(plan: Path) -> EngineInfo:
        raise PlanError(f"{plan}: TensorRT 10.14.1.48 cannot load it")

    monkeypatch.setattr(plan_inspect, "engine_info", refuse)
    (finding,) = check(repository, runtime="tensorrt", here=HERE)
    assert finding.message == "TensorRT 10.14.1.48 cannot load it"
