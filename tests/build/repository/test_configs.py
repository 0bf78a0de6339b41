"""Every config.pbtxt against a golden file, and against what Triton itself would refuse."""

import json
from pathlib import Path

import pytest
from edits import replace_in
from google.protobuf import text_format
from stub_onnx import write_detector, write_dynamic_detector
from tridet.processing import contract
from tridet_build.manifest.manifest import Manifest, load_manifests
from tridet_build.manifest.sizes import Sizes
from tridet_build.repository import configs
from tridet_build.repository.render import render
from tritonclient.grpc.model_config_pb2 import ModelConfig

GOLDEN = Path(__file__).parents[1] / "golden"
# Two sizes, a span of them and disagreeing thresholds, so that every branch of the rendering shows.
SMALL = "[thresholds]\nconf = 0.4\nmax_det = 20\n[batch]\nopt = 3\nmax = 6\n[instances]\nnms = 2\n"
LARGE = (
    "threads = 2\n[batch]\nopt = 1\nmax = 1\n[limits]\nmax_pixels = 9000000\nmax_in_flight = 7\n"
)
NAMES = ("small", "large", "spanned")


@pytest.fixture
def manifests(tmp_path: Path) -> list[Manifest]:
    write_detector(tmp_path / "small", SMALL)
    write_detector(tmp_path / "large", LARGE, size=96, classes=2)
    write_dynamic_detector(tmp_path / "spanned", "[batch]\nopt = 1\nmax = 2\n", (32, 64, 96))
    for name in NAMES:
        # Rendering reads no more of them than their hash, which must not change with onnx.
        (tmp_path / name / "weights.onnx").write_bytes(b"weights")
    return load_manifests([tmp_path / name for name in NAMES])


def rendered(manifests: list[Manifest]) -> dict[str, str]:
    return {
        path: content.decode()
        for path, content in render(manifests).items()
        if path.endswith(".pbtxt")
    }


def test_golden(manifests: list[Manifest], pytestconfig: pytest.Config) -> None:
    texts = rendered(manifests)
    if pytestconfig.getoption("--update-golden"):
        for path, text in texts.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_text(text)
    golden = {str(p.relative_to(GOLDEN)): p.read_text() for p in sorted(GOLDEN.rglob("*.pbtxt"))}
    assert texts == golden


def test_every_config_is_named_after_its_folder_and_parses(manifests: list[Manifest]) -> None:
    for path, text in rendered(manifests).items():
        assert text_format.Parse(text, ModelConfig()).name == path.split("/")[0]


def test_runtimes_have_the_same_tensors(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        signatures = [
            (list(config.input), list(config.output), config.max_batch_size)
            for config in (configs.detector_config(manifest, r) for r in configs.RUNTIMES)
        ]
        assert signatures[0] == signatures[1] == signatures[2]


def test_steps_of_an_ensemble_fit_together(manifests: list[Manifest]) -> None:
    """What goes out of one step is what the next takes in, by name, type and dims."""
    by_name = {
        config.name: config
        for path, text in rendered(manifests).items()
        if path.endswith("config.pbtxt")
        for config in [text_format.Parse(text, ModelConfig())]
    }
    for ensemble in (c for c in by_name.values() if c.platform == "ensemble"):
        known = {t.name: (t.data_type, list(t.dims)) for t in ensemble.input}
        for step in ensemble.ensemble_scheduling.step:
            model = by_name[step.model_name]
            assert ensemble.max_batch_size <= model.max_batch_size
            for tensor in model.input:
                if tensor.name not in step.input_map:
                    assert tensor.optional
                    continue
                kind, dims = known[step.input_map[tensor.name]]
                assert kind == tensor.data_type
                assert len(dims) == len(tensor.dims)
                assert all(want in (-1, got) for want, got in zip(tensor.dims, dims, strict=True))
            for tensor in model.output:
                known[step.output_map[tensor.name]] = (tensor.data_type, list(tensor.dims))
        for tensor in ensemble.output:
            assert known[tensor.name] == (tensor.data_type, list(tensor.dims))


def test_cuda_graphs_cover_every_batch_size(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        specs = configs.detector_config(manifest, "tensorrt").optimization.cuda.graph_spec
        covered = [
            size
            for spec in specs
            for size in range(spec.graph_lower_bound.batch_size, spec.batch_size + 1)
        ]
        assert covered == list(range(1, manifest.batch.max + 1))


def test_a_span_of_sizes_is_dynamic_and_tuned_for_the_usual_one(manifests: list[Manifest]) -> None:
    spanned = manifests[NAMES.index("spanned")]
    for runtime in configs.RUNTIMES:
        config = configs.detector_config(spanned, runtime)
        assert [list(tensor.dims) for tensor in config.input] == [[-1, -1, 3]]
        for warmup in config.model_warmup:
            assert list(warmup.inputs[contract.IMAGES].dims) == [64, 64, 3]
        for spec in config.optimization.cuda.graph_spec:
            assert list(spec.input[contract.IMAGES].dim) == [64, 64, 3]
    assert config.model_warmup


def test_spans_that_differ_in_the_usual_size_do_not_share_a_preprocess() -> None:
    names = [configs.preprocess_name(Sizes(*sides)) for sides in ((32, 32, 64), (32, 64, 64))]
    assert names == ["preprocess_32_32_64", "preprocess_32_64_64"]
    assert configs.preprocess_name(Sizes.only(64)) == "preprocess_64"


def test_nms_defaults_are_the_detectors_where_they_agree(manifests: list[Manifest]) -> None:
    def defaults(of: list[Manifest]) -> dict[str, object]:
        parameters = configs.nms_config(of).parameters
        names = ("conf", "iou", "max_det", "agnostic")
        return {name: json.loads(parameters[name].string_value) for name in names}

    assert defaults(manifests[:1])["conf"] == 0.4
    assert defaults(manifests) == {"conf": 0.25, "iou": 0.7, "max_det": 300, "agnostic": False}


def test_labels_of_any_script_survive(tmp_path: Path) -> None:
    write_detector(tmp_path / "words")
    replace_in(
        tmp_path / "words" / "detector.toml",
        "'c0', 'c1', 'c2'",
        "'Lötstelle', '孔 \"1\"', 'back\\slash'",
    )
    (manifest,) = load_manifests([tmp_path / "words"])
    config = configs.ensemble_config(manifest, encoded=False, build={})
    parsed = text_format.Parse(configs.to_text(config), ModelConfig())
    labels = json.loads(parsed.parameters[contract.PARAM_LABELS].string_value)
    assert labels == ["Lötstelle", '孔 "1"', "back\\slash"]
