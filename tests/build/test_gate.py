import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from rich.console import Console
from stub_onnx import write_stub
from tridet.processing.parameters import NmsParameters
from tridet_build.errors import GateError, ImagesError
from tridet_build.gate.detections import Found, Settings, box_ious, compare, detect, match
from tridet_build.gate.judge import GateFailedError, gate, gate_table
from tridet_build.gate.report import LIMITS, Limits, draw_worst, problems
from tridet_build.gate.truth import Scores, find_labels, load_truth, mean_average_precision

SETTINGS = Settings(
    64, ("c0", "c1", "c2"), 40, NmsParameters(conf=0.1, iou=0.7, max_det=20, agnostic=False)
)


def found(
    *rows: tuple[float, float, float, float, float, int],
    image: Path = Path("a.png"),
    size: tuple[int, int] = (100, 80),
) -> Found:
    """Rows of x1, y1, x2, y2, score, class id."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Found(image, size, table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images" / "test"
    folder.mkdir(parents=True)
    paths = [folder / f"{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        pixels = np.full((48, 60 + index, 3), 120 + 20 * index, np.uint8)
        cv2.imwrite(str(path), pixels)
    return paths


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_stub(tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"


def test_boxes_of_another_class_or_overlap_do_not_match() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (20, 0, 30, 10, 0.8, 1), (50, 50, 60, 60, 0.7, 2))
    variant = found((0, 0, 10, 9, 0.85, 0), (20, 0, 30, 10, 0.8, 2), (50, 50, 54, 60, 0.7, 2))
    pairs = match(reference, variant)
    assert pairs.pairs.tolist() == [[0, 0]]
    np.testing.assert_allclose(pairs.ious, [0.9], rtol=1e-6)
    np.testing.assert_allclose(pairs.drifts, [-0.05], atol=1e-6)
    assert pairs.missed.tolist() == [1, 2]
    assert pairs.extra.tolist() == [1, 2]


def test_the_best_overlap_goes_first_and_each_box_once() -> None:
    reference = found((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.8, 0))
    variant = found((1, 0, 11, 10, 0.9, 0))
    pairs = match(reference, variant)
    assert pairs.pairs.tolist() == [[1, 0]]
    assert pairs.missed.tolist() == [0]


@pytest.mark.parametrize(("mine", "theirs"), [(0, 0), (2, 0), (0, 2)])
def test_empty_sides_match_nothing(mine: int, theirs: int) -> None:
    rows = [(0, 0, 10, 10, 0.9, 0), (20, 20, 30, 30, 0.8, 0)]
    pairs = match(found(*rows[:mine]), found(*rows[:theirs]))
    assert (len(pairs.pairs), len(pairs.missed), len(pairs.extra)) == (0, mine, theirs)


def test_boxes_without_area_overlap_their_equal_alone() -> None:
    flat = np.array([[5, 5, 5, 9]], np.float32)
    assert box_ious(flat, flat).tolist() == [[1.0]]
    assert box_ious(flat, flat + 1).tolist() == [[0.0]]


def test_comparison_counts_at_the_threshold_and_names_the_worst_image() -> None:
    one = [found((0, 0, 10, 10, 0.9, 0)), found((0, 0, 10, 10, 0.9, 1), (0, 0, 9, 9, 0.05, 1))]
    two = [found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 10, 0.04, 1))]
    comparison = compare(one, two, conf=0.1)
    assert (comparison.reference, comparison.variant, comparison.matched) == (2, 1, 1)
    assert (comparison.missed, comparison.extra, comparison.worst) == (1, 0, 1)
    assert comparison.changed == 0.5
    assert comparison.iou_min == comparison.iou_mean == 1
    assert comparison.drift_mean == pytest.approx(-0.1)
    assert comparison.drift_max == pytest.approx(0.1)


def test_comparison_of_silent_runs_is_no_difference() -> None:
    comparison = compare([found()], [found()], conf=0.25)
    assert (comparison.changed, comparison.iou_min, comparison.drift_max) == (0, 1, 0)
    assert compare([found()], [found((0, 0, 9, 9, 0.9, 0))], conf=0.25).changed == 1


def test_defaults_are_a_tenth_of_a_point_and_one_point() -> None:
    assert (LIMITS["fp16"].map_drop, LIMITS["int8"].map_drop) == (0.001, 0.01)


def test_limits_on_map_say_by_how_much() -> None:
    comparison = compare([found((0, 0, 9, 9, 0.9, 0))], [found()], conf=0.25)
    before = Scores(0.99, 0.86)
    assert not problems(comparison, before, Scores(0.98, 0.85), Limits(0.01, 0.0))
    assert not problems(comparison, before, Scores(0.995, 0.87), Limits(0.0, 0.0))
    (line,) = problems(comparison, before, Scores(0.99, 0.8365), Limits(0.01, 0.0))
    assert line == ("mAP50-95 falls by 2.35 points (86.00 to 83.65), 1.35 over the limit of 1.00")


def test_limits_without_labels_are_on_changed_detections() -> None:
    rows = [(10.0 * i, 0.0, 10.0 * i + 9, 9.0, 0.9, 0) for i in range(10)]
    comparison = compare([found(*rows)], [found(*rows[:9])], conf=0.25)
    assert not problems(comparison, None, None, Limits(0.0, 0.1))
    (line,) = problems(comparison, None, None, Limits(0.0, 0.04))
    assert line == (
        "1 missed and 0 extra of 10 detections: 10.00% changed, 6.00% over the limit of 4.00%"
    )


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_limits_are_fractions(value: float) -> None:
    with pytest.raises(GateError, match="expected a number from 0 to 1"):
        Limits(map_drop=value, changed=0)


def test_detects_as_served_in_pixels_of_the_image(images: list[Path], weights: Path) -> None:
    calls: list[tuple[int, int]] = []
    run = detect(weights, images, SETTINGS, progress=lambda *done: calls.append(done))
    assert [item.image for item in run] == images
    assert run[3].size == (63, 48)
    assert calls == [(4, 6), (6, 6)]
    for item in run:
        assert len(item.scores) > 0
        assert (np.diff(item.scores) <= 0).all()
        assert (item.boxes <= np.array([*item.size, *item.size])).all()
        assert (item.above(0.3).scores >= 0.3).all()


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
    with pytest.raises(GateError, match=r"1\.png: not an image"):
        detect(weights, images, SETTINGS)


def test_unreadable_images_are_left_out_and_named(
    images: list[Path], weights: Path, tmp_path: Path
) -> None:
    images[1].write_bytes(b"nothing")
    said: list[str] = []
    report = gate(
        weights,
        weights,
        precision="fp16",
        images=images,
        settings=SETTINGS,
        out=tmp_path / "out",
        before=detect(weights, [images[0], *images[2:]], SETTINGS),
        say=said.append,
    )
    assert report.comparison.images == 5
    assert len(said) == 1
    assert f"left out: {images[1]}: " in said[0]
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


def test_yolo_labels_are_found_and_scaled(tmp_path: Path, images: list[Path]) -> None:
    labels = tmp_path / "labels" / "test"
    labels.mkdir(parents=True)
    (labels / "0.txt").write_text("2 0.5 0.5 0.2 0.5\n")
    assert find_labels(images) == labels
    run = [found(image=images[0]), found(image=images[1])]
    truth = load_truth(labels, run, SETTINGS.labels)
    class_ids, boxes = truth[images[0]]
    assert class_ids.tolist() == [2]
    np.testing.assert_allclose(boxes, [[40, 20, 60, 60]], atol=1e-4)
    assert len(truth[images[1]][0]) == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("7 0.5 0.5 0.2 0.5", "expected class ids below 3, got 7"),
        ("0 0.5 0.5", "expected lines of a class id and four fractions"),
        ("", "expected labels of 1 images, found none"),
    ],
)
def test_foreign_yolo_labels_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(GateError, match=complaint):
        load_truth(tmp_path, [found()], SETTINGS.labels)


def coco(name: str = "c1") -> dict[str, object]:
    return {
        "images": [{"id": 7, "file_name": "deep/a.png", "width": 100, "height": 80}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 4, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 4, "name": name}],
    }


def test_coco_labels_go_by_class_name(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(coco()))
    assert find_labels([tmp_path / "a.png"]) == path
    class_ids, boxes = load_truth(path, [found()], SETTINGS.labels)[Path("a.png")]
    assert class_ids.tolist() == [1]
    assert boxes.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (json.dumps(coco("cat")), "expected the classes c0, c1, c2, got 'cat'"),
        (json.dumps({"images": []}), "expected COCO annotations: KeyError"),
        ("{", "expected COCO annotations"),
    ],
)
def test_foreign_coco_labels_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(content)
    with pytest.raises(GateError, match=complaint) as caught:
        load_truth(path, [found()], SETTINGS.labels)
    assert "\n" not in str(caught.value)
    path.write_text(json.dumps(coco()))
    with pytest.raises(GateError, match=r"expected an entry of b\.png"):
        load_truth(path, [found(image=Path("b.png"))], SETTINGS.labels)


def test_map_is_one_for_the_truth_itself_and_less_for_less(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="the evaluator comes with the extra `build`")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.5\n0 0.2 0.2 0.1 0.1\n")
    right = found((40, 20, 60, 60, 0.9, 1), (15, 12, 25, 20, 0.8, 0))
    truth = load_truth(tmp_path, [right], SETTINGS.labels)
    whole = mean_average_precision([right], truth, 300)
    assert (whole.map50, whole.map50_95) == pytest.approx((1, 1))
    half = mean_average_precision([found((40, 20, 60, 60, 0.9, 1))], truth, 300)
    assert (half.map50, half.map50_95) == pytest.approx((0.5, 0.5))
    shifted = mean_average_precision(
        [found((40, 22, 60, 62, 0.9, 1), (15, 12, 25, 20, 0.8, 0))], truth, 300
    )
    assert shifted.map50 == pytest.approx(1)
    assert 0.5 < shifted.map50_95 < 1.0
    assert mean_average_precision([found()], truth, 300) == Scores(0.0, 0.0)


def test_worst_picture_colours_what_differs(images: list[Path]) -> None:
    before = found((5, 5, 25, 25, 0.9, 0), (30, 5, 50, 25, 0.8, 1), image=images[0])
    after = found((5, 5, 25, 25, 0.9, 0), (30, 28, 50, 45, 0.8, 2), image=images[0])
    picture = draw_worst(before, after, SETTINGS, "INT8")
    left, right = picture[:, :800], picture[:, 808:]
    red, orange, green = (50, 50, 230), (0, 140, 255), (80, 170, 60)
    for half, has, lacks in ((left, (green, red), (orange,)), (right, (green, orange), (red,))):
        colours = {tuple(pixel) for pixel in half.reshape(-1, 3).tolist()}
        assert set(has) <= colours
        assert not set(lacks) & colours
