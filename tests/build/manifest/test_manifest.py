from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from tridet_build.errors import ManifestError
from tridet_build.manifest.manifest import (
    MANIFEST_FILE,
    load_manifest,
    load_manifests,
    manifest_paths,
)
from tridet_build.manifest.sizes import Sizes

SIZES = "input_size = {{ min = {}, opt = {}, max = {} }}"
BASE = 'name = "boards"\nweights = "w.onnx"\nlabels = ["hole", "spur"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.onnx").write_bytes(b"weights")
    (tmp_path / "detector.toml").write_text(BASE)
    return tmp_path


def test_defaults_and_every_key(folder: Path) -> None:
    plain = load_manifest(folder)
    assert (plain.name, plain.task, plain.input_size, plain.candidates) == (
        "boards",
        "detect",
        Sizes(640, 640, 640),
        300,
    )
    assert plain.labels == ("hole", "spur")
    assert plain.weights == folder / "w.onnx"
    assert plain == load_manifest(folder / "detector.toml")

    (folder / "detector.toml").write_text(
        BASE
        + 'task = "detect"\ninput_size = 1280\ncandidates = 1000\nprecision = "fp16"\nthreads = 4\n'
        "[thresholds]\nconf = 0.5\niou = 0.6\nmax_det = 50\nagnostic = true\n"
        "[batch]\nopt = 4\nmax = 32\ndelay_us = 2000\n"
        "[instances]\npreprocess = 3\ndetector = 2\nnms = 2\n"
        "[limits]\nmax_pixels = 1000\nmax_in_flight = 9\nmax_wait_s = 0.5\n"
    )
    full = load_manifest(folder)
    assert (full.batch.opt, full.batch.max, full.batch.delay_us) == (4, 32, 2000)
    assert (full.thresholds.conf, full.thresholds.agnostic) == (0.5, True)
    assert (full.instances.preprocess, full.limits.max_wait_s) == (3, 0.5)


def test_several_input_sizes(folder: Path) -> None:
    (folder / "detector.toml").write_text(
        BASE + "input_size = { min = 320, opt = 640, max = 1280 }\n"
    )
    sizes = load_manifest(folder).input_size
    assert (sizes.min, sizes.opt, sizes.max, sizes.fixed) == (320, 640, 1280, False)
    assert str(sizes) == "320/640/1280"
    (folder / "detector.toml").write_text(BASE + "input_size = 1280\n")
    only = load_manifest(folder).input_size
    assert (only, only.fixed, str(only)) == (Sizes(1280, 1280, 1280), True, "1280")


def test_is_frozen(folder: Path) -> None:
    manifest = load_manifest(folder)
    with pytest.raises(FrozenInstanceError):
        manifest.candidates = 32  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BASE + "colour = 1", "colour: unknown key"),
        (BASE + "[batch]\nmost = 1", "batch.most: unknown key"),
        (BASE + "batch = 3", "batch: expected a table, got 3"),
        (BASE + 'input_size = "640"', "input_size: input should be a valid integer, got '640'"),
        (BASE + "input_size = 100", "input_size: input should be a multiple of 32, got 100"),
        (BASE + "input_size = 0", "input_size: input should be greater than or equal to 32, got 0"),
        (BASE + "input_size = { min = 320 }", "input_size.opt: required key is missing"),
        (BASE + SIZES.format(320, 640, 8192), "input_size.max: input should be less than or equal"),
        (BASE + SIZES.format(320, 500, 640), "input_size.opt: input should be a multiple of 32, "),
        (BASE + SIZES.format(320, '"640"', 640), "input_size.opt: input should be a valid integer"),
        (BASE + SIZES.format(640, 320, 960), "input_size: expected min <= opt <= max, got 640/320"),
        (BASE + SIZES.format(32, 64, "96, most = 1"), "input_size.most: unknown key"),
        (BASE + "[batch]\nmax = true", "batch.max: input should be a valid integer, got True"),
        (BASE + "[batch]\nopt = 9\nmax = 8", "batch: expected opt <= max, got opt = 9 and max = 8"),
        (BASE + "[thresholds]\nconf = 1.5", "less than or equal to 1, got 1.5"),
        (BASE + "[limits]\nmax_wait_s = 0", "greater than 0, got 0"),
        (BASE + "[limits]\nmax_pixels = 2000000000", "less than or equal to 1073741824, got 2"),
        (BASE + 'precision = "fp8"', "'fp32', 'fp16' or 'int8', got 'fp8'"),
        ('name = "x"', "weights: required key is missing"),
        (BASE.replace("boards", "Boards 1"), "got 'Boards 1'"),
        (BASE.replace('"spur"', '"hole"'), "expected different names, got hole twice"),
        (BASE.replace('["hole", "spur"]', '[""]'), "labels.0: "),
        (BASE.replace("w.onnx", "none.onnx"), "found no file at"),
        (BASE + "[calibration]\nsamples = 0", "calibration.samples: "),
        (BASE + "[calibration]\nexclude = 'x'", "calibration.exclude: "),
        (BASE + "[gate]\nmax_map_loss = -1", "gate.max_map_loss: "),
        (BASE + "[plan]\noptimization_level = 6", "plan.optimization_level: "),
        ("name = ", "not valid TOML"),
    ],
)
def test_bad_manifest_is_one_line_naming_file_and_key(
    folder: Path, text: str, complaint: str
) -> None:
    (folder / "detector.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    message = str(caught.value)
    assert message.startswith(str(folder / "detector.toml"))
    assert complaint in message
    assert "\n" not in message


def test_missing_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such manifest"):
        load_manifest(tmp_path)
    (tmp_path / "detector.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path)


def test_two_detectors_of_one_name(folder: Path) -> None:
    with pytest.raises(ManifestError, match="'boards' is another detector's name already"):
        load_manifests([folder, folder])


def test_an_engine_is_called_one(folder: Path) -> None:
    for name in ("best.engine", "model.plan", "best.tflite"):
        (folder / name).touch()
        (folder / MANIFEST_FILE).write_text(BASE.replace("w.onnx", name))
        with pytest.raises(ManifestError) as caught:
            load_manifest(folder)
        assert "weights: expected an .onnx or an Ultralytics .pt file, got" in str(caught.value)
        said = "engines are not served" in str(caught.value)
        assert said == (name != "best.tflite")


def test_a_detector_that_does_not_exist_is_told_from_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "pcb").mkdir()
    (tmp_path / "pcb" / MANIFEST_FILE).touch()
    with pytest.raises(ManifestError, match=r"nope: no such detector; .* has pcb"):
        manifest_paths([tmp_path / "nope"], tmp_path)
