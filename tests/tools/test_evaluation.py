"""Figures of an evaluation against pycocotools itself and against examples done by hand."""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation import EvaluationError
from evaluation.assess import assess
from evaluation.confusion import confusion_matrix
from evaluation.curves import best_conf, counts_at, precision_recall_f1
from evaluation.mistakes import marked_images
from evaluation.predictions import Prediction, PredictionStore, key_of
from evaluation.truth import Pair
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tridet_build.datasets.evaluation import Judgement
from tridet_build.datasets.evaluation import judge as judge_run

Row = tuple[int, float, float, float, float]


def pair(
    truth: list[Row], found: list[tuple[Row, float]], *, name: str = "a.jpg", crowd: int = 0
) -> Pair:
    """Rows are (class, x1, y1, x2, y2); the first ``crowd`` of the truth are crowds."""
    boxes = np.array([row[1:] for row in truth], dtype=np.float64).reshape(-1, 4)
    seen = sorted(found, key=lambda item: -item[1])
    return Pair(
        path=Path(name),
        class_ids=np.array([row[0] for row in truth], dtype=np.int32),
        boxes=boxes,
        areas=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        crowd=np.arange(len(truth)) < crowd,
        found=Prediction(
            size=(640, 480),
            boxes=np.array([row[1:] for row, _ in seen], dtype=np.float32).reshape(-1, 4),
            scores=np.array([score for _, score in seen], dtype=np.float32),
            class_ids=np.array([row[0] for row, _ in seen], dtype=np.int32),
            elapsed_s=0.01,
        ),
    )


def judge(pairs: list[Pair], classes: int, max_det: int) -> Judgement:
    return judge_run(pairs, [each.found for each in pairs], classes, max_det)


A, B, C = (0, 0.0, 0.0, 10.0, 10.0), (0, 50.0, 0.0, 60.0, 10.0), (1, 0.0, 50.0, 40.0, 90.0)
AWAY = (0, 300.0, 300.0, 310.0, 310.0)
# Class 0: A found at 0.9, a false box at 0.8, B found at 0.3. Class 1: C never found.
BY_HAND = [
    pair([A, B, C], [(A, 0.9), (B, 0.3)]),
    pair([], [(AWAY, 0.8)], name="empty.jpg"),
]


def random_pairs(count: int = 30) -> list[Pair]:
    rng = np.random.default_rng(5)
    pairs = []
    for index in range(count):
        truth: list[Row] = []
        found: list[tuple[Row, float]] = []
        for _ in range(rng.integers(0, 8)):
            corner, sides = rng.uniform(0, 400, 2), rng.uniform(8, 150, 2)
            box = (*corner, *(corner + sides))
            truth.append((int(rng.integers(3)), *box))  # type: ignore[arg-type]
            for _ in range(rng.integers(0, 3)):
                moved = np.array(box) + rng.normal(0, 6, 4)
                class_id = truth[-1][0] if rng.random() < 0.8 else int(rng.integers(3))
                found.append(((class_id, *moved), round(float(rng.random()), 3)))
        pairs.append(pair(truth, found, name=f"{index}.jpg", crowd=index % 3 == 0))
    return pairs


def test_average_precision_is_that_of_pycocotools() -> None:
    """pycocotools' own path: loadRes, summarize."""
    pairs = random_pairs()
    notes: list[dict[str, Any]] = []
    found = []
    for image, each in enumerate(pairs):
        for box, class_id, crowd in zip(each.boxes, each.class_ids, each.crowd, strict=True):
            x, y, right, low = box
            bbox = [x, y, right - x, low - y]
            notes.append({"image_id": image, "category_id": int(class_id), "bbox": bbox})
            notes[-1] |= {"id": len(notes), "area": bbox[2] * bbox[3], "iscrowd": int(crowd)}
        seen = each.found
        for box, class_id, score in zip(seen.boxes, seen.class_ids, seen.scores, strict=True):
            x, y, right, low = map(float, box)
            bbox = [x, y, right - x, low - y]
            found.append({"image_id": image, "category_id": int(class_id), "bbox": bbox})
            found[-1]["score"] = float(score)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index} for index in range(len(pairs))],
            "categories": [{"id": index} for index in range(3)],
            "annotations": notes,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    judged = judge(pairs, 3, 100)
    ours = [
        judged.ap(),
        judged.ap(iou=0),
        judged.ap(iou=5),
        *(judged.ap(area=area) for area in ("small", "medium", "large")),
    ]
    assert ours == pytest.approx(evaluation.stats[:6].tolist(), abs=1e-12)
    assert judged.ar() == pytest.approx(evaluation.stats[8], abs=1e-12)
    assert 0.1 < ours[0] < 0.9  # the example is worth something


def test_by_hand() -> None:
    judged = judge(BY_HAND, 2, 300)
    # Precision 1 up to recall 0.5 (51 of 101 recalls), then 2 of 3.
    assert judged.ap(class_id=0) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert judged.ap(class_id=1) == 0
    assert judged.truth == {"all": 3, "small": 2, "medium": 1, "large": 0}
    precision, recall, f1 = precision_recall_f1(judged.matches[0], np.array([0.0, 0.5, 0.95]))
    assert precision.tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert recall.tolist() == [1, 0.5, 0]
    assert f1.tolist() == pytest.approx([0.8, 0.5, 0])
    # Scores are float32; a detection at the confidence itself counts, as on the server.
    hit, wrong = counts_at(judged.matches[0], np.array([np.float64(np.float32(0.8))]))
    assert (hit.tolist(), wrong.tolist()) == ([1], [1])
    assert best_conf(judged.matches) <= 0.3  # where B is found too


def test_what_users_get_by_hand() -> None:
    figures = assess(BY_HAND, ("a", "b"), max_det=300, conf=0.5, in_flight=1)
    served = figures.served
    assert (served.hits, served.false, served.missed) == (1, 1, 2)
    assert (served.false_on_empty, served.empty_with_false) == (1, 1)
    assert served.recall == 0.25  # the mean of 0.5 and 0
    assert figures.best.hits == 2
    assert figures.latency_ms.p50 == pytest.approx(10)
    assert [each.objects for each in figures.classes] == [2, 1]


def test_a_class_without_objects_has_no_figures() -> None:
    figures = assess(BY_HAND, ("a", "b", "none"), max_det=300, conf=0.5, in_flight=1)
    assert figures.classes[2].ap50_95 is None
    assert (
        figures.map50_95 == assess(BY_HAND, ("a", "b"), max_det=300, conf=0.5, in_flight=1).map50_95
    )


def test_a_run_that_found_nothing() -> None:
    figures = assess([pair([A], [])], ("a",), max_det=300, conf=0.5, in_flight=1)
    assert (figures.map50, figures.served.missed, figures.served.f1) == (0, 1, 0)


def test_confusion_matrix_by_hand() -> None:
    as_c = (1, *A[1:])
    shifted = (0, 1.0, 0.0, 11.0, 10.0)
    pairs = [
        # A is found, and by a stronger box of another class too: that one is of nothing.
        pair([A, B], [(as_c, 0.9), (shifted, 0.8)]),
        # C is taken for class 0; what is below the confidence takes no part.
        pair([C], [((0, *C[1:]), 0.7), (C, 0.2)]),
        # A crowd is neither missed nor found.
        pair([A], [], crowd=1),
    ]
    assert confusion_matrix(pairs, 2, 0.25).tolist() == [
        [1, 0, 1],  # A found, B missed
        [1, 0, 0],  # C as class 0
        [0, 1, 0],  # the box of class 1 on A
    ]


def test_the_worst_image_is_first() -> None:
    fine = pair([A], [(A, 0.9)], name="fine.jpg")
    judged = judge([fine, *BY_HAND], 2, 300)
    images = marked_images([fine, *BY_HAND], judged.matches, 0.5)
    assert [each.pair.path.name for each in images] == ["a.jpg", "empty.jpg", "fine.jpg"]
    assert [each.weight for each in images] == pytest.approx([2, 0.8, 0])
    assert [images[0].count(verdict) for verdict in ("hit", "missed", "false")] == [1, 2, 0]


def prediction() -> Prediction:
    return BY_HAND[0].found


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    key = key_of({"conf": 0.001})
    with PredictionStore(tmp_path / "new" / "p.jsonl", key) as store:
        assert store.get("f00") is None
        store.add("f00", "a.jpg", prediction())
    with PredictionStore(tmp_path / "new" / "p.jsonl", key) as store:
        again = store.get("f00")
    assert again is not None
    assert again.size == (640, 480)
    for name in ("boxes", "scores", "class_ids"):
        before, after = getattr(prediction(), name), getattr(again, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_predictions_of_another_build_are_not_taken(tmp_path: Path) -> None:
    with PredictionStore(tmp_path / "p.jsonl", key_of({"build": 1})) as store:
        store.add("f00", "a.jpg", prediction())
    with PredictionStore(tmp_path / "p.jsonl", key_of({"build": 2})) as store:
        assert store.get("f00") is None
        store.add("f00", "a.jpg", prediction())
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2


def test_a_line_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with PredictionStore(path, "k") as store:
        store.add("f00", "a.jpg", prediction())
        store.add("f01", "b.jpg", prediction())
    path.write_bytes(path.read_bytes()[:-20])
    with PredictionStore(path, "k") as store:
        assert store.get("f00") is not None
        assert store.get("f01") is None
        store.add("f02", "c.jpg", prediction())
    with PredictionStore(path, "k") as store:
        assert store.get("f02") is not None


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("my notes\nmore")
    with pytest.raises(EvaluationError, match="line 1: expected a prediction"):
        PredictionStore(path, "k")
    assert path.read_text() == "my notes\nmore"
