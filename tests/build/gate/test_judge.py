"""The gate: who passes, who does not, and what proves nothing."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from gate_parts import SETTINGS, found
from rich.console import Console
from stub_onnx import write_stub
from tridet_build.datasets.truth import labels_of_images
from tridet_build.errors import DataError, GateError, ImagesError
from tridet_build.gate.detections import Found, detect
from tridet_build.gate.judge import GateFailedError, gate, gate_table, scores_of
from tridet_build.gate.report import Scores


def test_the_same_model_passes_and_reports(
    images: list[Path], weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = gate(weights, weights, precision="fp16", images=images, settings=SETTINGS, out=out)
    assert report.passed
    assert report.comparison.matched == report.comparison.reference > 0
    assert report.reference_map is None
    content = json.loads((out / "gate.json").read_text())
    assert content["passed"] is True
    assert content["comparison"]["changed"] == 0
    assert content["reference_sha256"] == content["variant_sha256"]
    picture = cv2.imread(str(out / "gate.png"))
    assert picture is not None
    assert picture.shape[1] == 2 * 800 + 8


def test_another_model_is_stopped_and_still_reported(
    images: list[Path], weights: Path, tmp_path: Path
) -> None:
    write_stub(tmp_path / "other.onnx", seed=5)
    with pytest.raises(GateFailedError, match=r"FP16: \d+ missed and \d+ extra of") as caught:
        gate(
            weights,
            tmp_path / "other.onnx",
            precision="fp16",
            images=images,
            settings=SETTINGS,
            out=tmp_path / "out",
        )
    assert "\n" not in str(caught.value)
    assert not caught.value.report.passed
    assert json.loads((tmp_path / "out" / "gate.json").read_text())["passed"] is False
    assert (tmp_path / "out" / "gate.png").is_file()


def test_a_run_of_the_reference_is_used_again(images: list[Path], weights: Path) -> None:
    before = detect(weights, images, SETTINGS)
    report = gate(
        weights,
        weights,
        precision="fp16",
        images=images,
        settings=SETTINGS,
        before=before,
    )
    assert list(report.seconds) == ["fp16"]


def test_table_has_a_column_for_each_precision(images: list[Path], weights: Path) -> None:
    report = gate(weights, weights, precision="fp16", images=images, settings=SETTINGS)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(gate_table([report, report]))
    lines = capture.get().splitlines()
    assert sum("FP16" in line for line in lines) == 1
    assert lines[-2].count("pass") == 2


def test_no_images_is_an_error(weights: Path) -> None:
    with pytest.raises(ImagesError, match="gate: expected 1 usable images or more, got 0"):
        gate(weights, weights, precision="fp16", images=[], settings=SETTINGS)


def test_old_runtimes_may_not_judge_int8(
    monkeypatch: pytest.MonkeyPatch, images: list[Path], weights: Path
) -> None:
    """ONNX Runtime 1.24 truncates where QuantizeLinear of FP16 has to round."""
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.3")
    with pytest.raises(GateError, match=r"INT8 needs onnxruntime >= 1\.31, got 1\.24\.3"):
        gate(weights, weights, precision="int8", images=images, settings=SETTINGS)
    assert gate(weights, weights, precision="fp16", images=images, settings=SETTINGS).passed


def test_unreadable_image_names_the_file(images: list[Path], weights: Path) -> None:
    images[1].write_bytes(b"nothing")
    with pytest.raises(ImagesError, match=r"1\.png: not an image"):
        detect(weights, images, SETTINGS)


def test_unreadable_images_are_left_out_and_named(
    images: list[Path], weights: Path, tmp_path: Path
) -> None:
    images[1].write_bytes(b"nothing")
    report = gate(
        weights,
        weights,
        precision="fp16",
        images=images,
        settings=SETTINGS,
        out=tmp_path / "out",
        before=detect(weights, [images[0], *images[2:]], SETTINGS),
    )
    assert report.comparison.images == 5
    (line,) = report.unreadable
    assert line.startswith(f"{images[1]}: ")
    assert json.loads((tmp_path / "out" / "gate.json").read_text())["unreadable"] == list(
        report.unreadable
    )
    images[1].unlink()
    others = gate(
        weights,
        weights,
        precision="fp16",
        images=[path for path in images if path.exists()],
        settings=SETTINGS,
    )
    assert others.unreadable == ()
    assert others.images_sha256 == report.images_sha256


def write_labels(images: list[Path], text: str) -> Path:
    """Write the same labels for each image where they are found by themselves."""
    folder = images[0].parents[2] / "labels" / images[0].parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        (folder / f"{image.stem}.txt").write_text(text)
    return folder


def as_labels(run: list[Found]) -> str:
    """Return the first image's detections at the threshold as YOLO labels."""
    lines = []
    seen = run[0].above(SETTINGS.thresholds.conf)
    for box, class_id in zip(seen.boxes / np.tile(seen.size, 2), seen.class_ids, strict=True):
        x1, y1, x2, y2 = box
        lines.append(f"{class_id} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}\n")
    return "".join(lines)


def test_map_is_one_for_the_truth_itself_and_less_for_less(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.5\n0 0.2 0.2 0.1 0.1\n")
    labelled = labels_of_images([image], SETTINGS.labels)
    assert labelled is not None

    def scores(*rows: tuple[float, float, float, float, float, int]) -> Scores:
        return scores_of([found(*rows, image=image)], labelled, SETTINGS)

    whole = scores((40, 20, 60, 60, 0.9, 1), (15, 12, 25, 20, 0.8, 0))
    assert (whole.map50, whole.map50_95) == pytest.approx((1, 1))
    half = scores((40, 20, 60, 60, 0.9, 1))
    assert (half.map50, half.map50_95) == pytest.approx((0.5, 0.5))
    shifted = scores((40, 22, 60, 62, 0.9, 1), (15, 12, 25, 20, 0.8, 0))
    assert shifted.map50 == pytest.approx(1)
    assert 0.5 < shifted.map50_95 < 1.0
    assert scores() == Scores(0.0, 0.0)


def test_labels_beside_the_images_are_judged_by(images: list[Path], weights: Path) -> None:
    run = detect(weights, images[:1], SETTINGS)
    folder = write_labels(images[:1], as_labels(run))
    report = gate(weights, weights, precision="fp16", images=images[:1], settings=SETTINGS)
    assert report.reference_map == report.variant_map
    assert report.reference_map is not None
    assert report.reference_map.map50 > 0.5
    given = gate(
        weights, weights, precision="fp16", images=images[:1], settings=SETTINGS, labels=folder
    )
    assert given.reference_map == report.reference_map


@pytest.mark.parametrize("text", ["0 0.01 0.01 0.01 0.01\n", "2 0.9 0.01 0.01 0.01\n"])
def test_labels_that_fp32_does_not_find_prove_nothing(
    images: list[Path], weights: Path, tmp_path: Path, text: str
) -> None:
    """Those of another data set, or of another order of classes."""
    write_labels(images, text)
    with pytest.raises(
        GateFailedError, match=r"FP32 itself reaches 0\.00 points of mAP50"
    ) as caught:
        gate(
            weights,
            weights,
            precision="fp16",
            images=images,
            settings=SETTINGS,
            out=tmp_path / "out",
        )
    assert not caught.value.report.passed
    assert json.loads((tmp_path / "out" / "gate.json").read_text())["passed"] is False


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("7 0.5 0.5 0.2 0.5", r"0\.txt: class beyond names: line 1: expected 0 to 2, got 7"),
        ("0 0.5 0.5", r"0\.txt: malformed line: line 1: expected a class id and four fractions"),
        ("0 0.5 0.5 0.2 0.5 0.9", r"0\.txt: malformed line"),
        ("", "expected objects, found none"),
    ],
)
def test_labels_with_errors_are_refused_before_anything_is_run(
    images: list[Path], tmp_path: Path, text: str, complaint: str
) -> None:
    write_labels(images, text)
    none = tmp_path / "none.onnx"
    with pytest.raises(DataError, match=complaint) as caught:
        gate(none, none, precision="fp16", images=images, settings=SETTINGS)
    assert "\n" not in str(caught.value)


def test_labels_of_other_classes_or_sizes_are_refused(images: list[Path], weights: Path) -> None:
    file = images[0].parent / "annotations.json"

    def write_coco(name: str, width: int) -> None:
        content = {
            "images": [{"id": 7, "file_name": "0.png", "width": width, "height": 48}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 4, "bbox": [10, 20, 30, 40]}],
            "categories": [{"id": 4, "name": name}],
        }
        file.write_text(json.dumps(content))

    def judge(*some: Path) -> None:
        gate(weights, weights, precision="fp16", images=some, settings=SETTINGS)

    write_coco("cat", 60)
    with pytest.raises(DataError, match=r"expected the model's classes \(c0, c1, c2\), got cat"):
        judge(images[0])
    write_coco("c1", 61)
    with pytest.raises(DataError, match=r"expected 61 x 48 pixels, as labelled, got 60 x 48"):
        judge(images[0])
    write_coco("c1", 60)
    with pytest.raises(DataError, match=r"expected an entry of .*1\.png, found none"):
        judge(*images[:2])
