"""From a manifest to what is compiled: what runs, what is skipped, what stops it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from chain_parts import in_precision, stages
from onnx import numpy_helper
from stub_onnx import write_detector, write_stub
from tridet_build.chain import prepare as chain
from tridet_build.datasets.yolo import labels_of
from tridet_build.errors import (
    BuildError,
    GateError,
    ImagesError,
    OnnxError,
    PrecisionError,
)
from tridet_build.gate.detections import detect, settings_of
from tridet_build.gate.judge import GateFailedError
from tridet_build.manifest.manifest import Manifest, load_manifest
from tridet_build.onnx.export import ExportReport
from tridet_build.repository.render import render

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "models" / "pcb" / "samples"


def test_an_fp32_onnx_is_served_as_it_is(detector: Manifest, tmp_path: Path) -> None:
    said: list[str] = []
    ready = chain.prepare(detector, stages(tmp_path, said))
    assert ready.manifest == detector
    assert ready.summary() == {
        "weights": "weights.onnx",
        "weights_sha256": ready.source.sha256,
    }
    assert said == []


def test_weights_that_are_no_onnx_are_exported_once(
    detector: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = []

    def export(weights: Path, out: Path, **options: Any) -> ExportReport:
        exports.append((weights, options))
        out.parent.mkdir(parents=True, exist_ok=True)
        write_stub(out, metadata={"names": "{0: 'hole', 1: 'spur', 2: 'short'}"})
        names = ("layout", "rows", "labels", "opset", "sha256", "nodes_before", "nodes_after")
        rest = dict.fromkeys((*names, "simplifier", "tools"))
        rest["notes"] = ("not simplified by onnxsim",)
        return ExportReport(weights_sha256="ab" * 32, weights_bytes=7, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(chain, "export_onnx", export)
    weights = tmp_path / "one" / "best.pt"
    weights.write_bytes(b"checkpoint")
    manifest = replace(detector, weights=weights, labels=())
    said: list[str] = []
    for _ in range(2):
        ready = chain.prepare(manifest, stages(tmp_path, said))
    assert said.count("note: not simplified by onnxsim") == 1
    assert ready.manifest.labels == ("hole", "spur", "short")
    assert ready.summary()["weights"] == "best.pt"
    assert ready.summary()["onnx_sha256"] != ready.summary()["weights_sha256"]
    assert [path for path, _ in exports] == [weights]
    weights.write_bytes(b"trained again")
    chain.prepare(manifest, stages(tmp_path))
    chain.prepare(replace(manifest, weights=Path("yolo11n")), stages(tmp_path))
    assert [path for path, _ in exports] == [weights, weights, Path("yolo11n")]


def test_damaged_weights_are_named(detector: Manifest, tmp_path: Path) -> None:
    detector.weights.write_bytes(b"half an ONNX")
    with pytest.raises(OnnxError, match=r"weights\.onnx: not a readable ONNX model: "):
        chain.prepare(detector, stages(tmp_path))


def detections_as_labels(manifest: Manifest, images: list[Path]) -> list[str]:
    """Return what the detector finds in each image, as the lines of a YOLO label file."""
    texts = []
    for found in detect(manifest.weights, images, settings_of(manifest)):
        seen = found.above(0.25)
        low, high = seen.boxes[:, :2] / seen.size, seen.boxes[:, 2:] / seen.size
        rows = np.column_stack([seen.class_ids, (low + high) / 2, high - low])
        rows = rows[(rows[:, 3:] > 0).all(axis=1)]
        texts.append("".join(f"{int(row[0])} {' '.join(map(str, row[1:]))}\n" for row in rows))
    return texts


def test_a_variant_is_made_and_proved_once(
    detector: Manifest, images: Path, tmp_path: Path, converters: list[str]
) -> None:
    said: list[str] = []
    manifest = in_precision(detector, "fp16", images)
    for _ in range(2):
        ready = chain.prepare(manifest, stages(tmp_path, said))
    assert converters == ["fp16"]
    assert said == [
        "fp16 …",
        "gate-fp16 …",
        "fp16: unchanged, skipped",
        "gate-fp16: unchanged, skipped",
    ]
    assert ready.manifest.weights == tmp_path / "work" / "one.fp16.onnx"
    assert ready.gates["precision"].passed
    assert ready.gates["precision"].figures["images"] == 3
    assert ready.gates["precision"].limits == {"changed": 0.01}
    assert ready.summary()["gates"] == "passed"
    assert (tmp_path / "work" / "gate-fp16" / "gate.png").is_file()
    # Other images prove it anew, and need no new variant.
    next(images.iterdir()).unlink()
    chain.prepare(manifest, stages(tmp_path, said))
    assert converters == ["fp16", "fp16"]  # they also tell AutoCast which values are large
    assert said[-1] == "gate-fp16 …"


def test_labels_beside_the_images_are_part_of_what_the_gate_depends_on(
    detector: Manifest, images: Path, tmp_path: Path, converters: list[str]
) -> None:
    """Those of nothing that is there decide nothing, loudly; corrected ones are judged by."""
    manifest = in_precision(detector, "fp16", images)
    pictures = sorted(images.iterdir())
    labels = [labels_of(path) for path in pictures]
    labels[0].parent.mkdir()
    for path in labels:
        path.write_text("2 0.01 0.01 0.01 0.01\n")
    said: list[str] = []
    ready = chain.prepare(manifest, stages(tmp_path, said))
    assert "changed" in ready.gates["precision"].limits
    assert [line for line in said if "judged by its detections alone" in line and "FP32" in line]
    # Labels that were asked for are not passed over.
    named = replace(manifest, gate=replace(manifest.gate, labels=labels[0].parent))
    with pytest.raises(GateFailedError, match="FP32 itself reaches"):
        chain.prepare(named, stages(tmp_path))
    for path, text in zip(labels, detections_as_labels(manifest, pictures), strict=True):
        path.write_text(text)
    said.clear()
    for _ in range(2):
        ready = chain.prepare(manifest, stages(tmp_path, said))
    assert [line for line in said if line.startswith("gate")] == [
        "gate-fp16 …",
        "gate-fp16: unchanged, skipped",
    ]
    assert "map50_lost_points" in ready.gates["precision"].figures
    assert converters == ["fp16"]
    # Without labels, too, it is another judgement.
    for path in labels:
        path.unlink()
    ready = chain.prepare(manifest, stages(tmp_path, said))
    assert said[-1] == "gate-fp16 …"
    assert "map50_lost_points" not in ready.gates["precision"].figures


def test_the_gate_stops_the_chain_every_time(
    detector: Manifest, images: Path, tmp_path: Path, converters: list[str]
) -> None:
    manifest = in_precision(detector, "int8", images)
    first: list[str] = []
    for said in (first, []):
        with pytest.raises(GateFailedError, match=r"INT8: .* over the limit of 5.00%"):
            chain.prepare(manifest, stages(tmp_path, said))
    assert converters == ["int8"]
    left_out = "note: calibration: 1 images cannot be read, left out: 9.png: no image"
    assert left_out in first
    # Whoever accepts the loss says so in the manifest.
    said: list[str] = []
    lenient = replace(manifest, gate=replace(manifest.gate, max_changed=1.0))
    ready = chain.prepare(lenient, stages(tmp_path, said))
    assert said == ["int8: unchanged, skipped", "gate-int8 …"]
    assert ready.calibration is not None
    assert ready.calibration.images == 3
    assert ready.gates["precision"].limits == {"changed": 1.0}


def test_an_image_that_cannot_be_read_does_not_stop_the_gate(
    detector: Manifest,
    images: Path,
    tmp_path: Path,
    converters: list[str],
) -> None:
    broken = images / "1.png"
    broken.write_bytes(b"half")
    said: list[str] = []
    ready = chain.prepare(in_precision(detector, "fp16", images), stages(tmp_path, said))
    assert converters == ["fp16"]
    (line,) = [line for line in said if line.startswith("note: ")]
    assert line.startswith(f"note: gate: 1 images cannot be read, left out: {broken}: ")
    assert ready.gates["precision"].figures["images"] == 2
    report = json.loads((tmp_path / "work" / "gate-fp16" / "gate.json").read_text())
    assert [entry.partition(": ")[0] for entry in report["unreadable"]] == [str(broken)]
    assert report["comparison"]["images"] == 2


def test_a_gate_without_one_readable_image_stops_the_chain(
    detector: Manifest, images: Path, tmp_path: Path, converters: list[str]
) -> None:
    for path in images.iterdir():
        path.write_bytes(b"half")
    complaint = "gate: expected 1 usable images or more, got 0; the first of 3 unreadable ones is"
    with pytest.raises(ImagesError, match=complaint):
        chain.prepare(in_precision(detector, "fp16", images), stages(tmp_path))
    assert converters == ["fp16"]
    assert not (tmp_path / "work" / "gate-fp16").exists()


def test_a_variant_is_made_anew_of_tensors_that_lie_in_another_file(
    detector: Manifest, images: Path, tmp_path: Path, converters: list[str]
) -> None:
    """The ONNX itself stays byte for byte."""
    manifest = in_precision(detector, "fp16", images)
    model, sources = onnx.load(detector.weights), []
    for factor in (1, 1.00001):
        (scaled,) = (one for one in model.graph.initializer if one.name == "scaled")
        values = numpy_helper.to_array(scaled) * np.float32(factor)
        scaled.CopyFrom(numpy_helper.from_array(values, "scaled"))
        apart = onnx.ModelProto()
        apart.CopyFrom(model)
        (detector.weights.parent / "tensors.bin").unlink(missing_ok=True)
        onnx.save(
            apart,
            detector.weights,
            save_as_external_data=True,
            location="tensors.bin",
            size_threshold=0,
        )
        sources.append(chain.prepare(manifest, stages(tmp_path)).source)
    assert converters == ["fp16", "fp16"]
    assert sources[0].sha256 != sources[1].sha256
    assert sources[0].bytes > (detector.weights.parent / "tensors.bin").stat().st_size
    files = render([detector])
    assert sources[1].sha256.encode() in files["one/config.pbtxt"]


@pytest.mark.usefixtures("converters")
def test_other_names_of_the_images_make_another_variant(
    detector: Manifest, images: Path, tmp_path: Path
) -> None:
    """By their names a part of them is chosen, and their labels are found."""
    manifest = in_precision(detector, "fp16", images)
    chain.prepare(manifest, stages(tmp_path))
    (images / "0.png").rename(images / "9.png")
    said: list[str] = []
    chain.prepare(manifest, stages(tmp_path, said))
    assert said == ["fp16 …", "gate-fp16 …"]
    moved = images.rename(tmp_path / "elsewhere")
    said.clear()
    chain.prepare(in_precision(detector, "fp16", moved), stages(tmp_path, said))
    assert said == ["fp16: unchanged, skipped", "gate-fp16: unchanged, skipped"]


def test_published_weights_in_the_working_folder_are_an_input(
    detector: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ultralytics takes them from there."""
    exports = []

    def export(weights: Path, out: Path, **_: Any) -> ExportReport:
        exports.append(weights)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_stub(out)
        rest: dict[str, Any] = dict.fromkeys(ExportReport.__dataclass_fields__)
        return ExportReport(**rest | {"weights_sha256": "ab" * 32, "weights_bytes": 7, "notes": ()})

    monkeypatch.setattr(chain, "export_onnx", export)
    monkeypatch.chdir(tmp_path)
    manifest = replace(detector, weights=Path("yolo11n"))
    for content in (b"old", b"old", b"new"):
        Path("yolo11n.pt").write_bytes(content)
        chain.prepare(manifest, stages(tmp_path))
    assert len(exports) == 2


@pytest.mark.parametrize(
    ("precision", "folder", "error", "complaint"),
    [
        ("fp16", None, GateError, "FP16 is held against FP32 before it is served"),
        ("int8", None, GateError, "INT8 is held against FP32 before it is served"),
        ("int8", "nowhere", ImagesError, "expected a folder of images, found none"),
    ],
)
def test_what_cannot_be_proved_is_not_made(
    detector: Manifest,
    tmp_path: Path,
    converters: list[str],
    precision: str,
    folder: str | None,
    error: type[BuildError],
    complaint: str,
) -> None:
    manifest = in_precision(detector, precision, folder and tmp_path / folder)
    with pytest.raises(error, match=complaint):
        chain.prepare(manifest, stages(tmp_path))
    assert converters == []


def test_int8_without_calibration_images(detector: Manifest, images: Path, tmp_path: Path) -> None:
    manifest = in_precision(detector, "int8", None)
    manifest = replace(manifest, gate=replace(manifest.gate, images=images))
    with pytest.raises(PrecisionError, match="INT8 is calibrated on real images"):
        chain.prepare(manifest, stages(tmp_path))


def test_weights_of_another_precision(tmp_path: Path) -> None:
    write_detector(tmp_path / "half", half=True)
    half = load_manifest(tmp_path / "half")
    with pytest.raises(PrecisionError, match=r'got FP16; .* say precision = "fp16"'):
        chain.prepare(half, stages(tmp_path))
    as_they_are = replace(half, precision="fp16")
    assert chain.prepare(as_they_are, stages(tmp_path)).manifest == as_they_are


@pytest.mark.full
def test_the_default_detector_in_fp16_for_real(tmp_path: Path) -> None:
    """ModelOpt and ONNX Runtime themselves, on the boards that come with the detector."""
    manifest = in_precision(load_manifest(ROOT / "models" / "pcb"), "fp16", SAMPLES)
    ready = chain.prepare(manifest, stages(tmp_path))
    assert ready.gates["precision"].figures["map50_95_lost_points"] <= 0.1
    assert ready.manifest.weights.stat().st_size < 0.6 * manifest.weights.stat().st_size
