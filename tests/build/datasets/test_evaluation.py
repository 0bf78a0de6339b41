"""From a COCO file to figures, against pycocotools itself on the same file."""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tridet_build.datasets.evaluation import Judgement, judge
from tridet_build.datasets.truth import check_labels, labels_of_images, model_ids, truth_of
from tridet_build.errors import DataError

WIDTH, HEIGHT = 200, 160
CATEGORIES = {3: "nut", 1: "bolt", 20: "ring"}
# Of the model, in another order than in the file.
LABELS = ("ring", "nut", "bolt")
# Equal names in two folders.
NAMES = ("c1/0.png", "c2/0.png", "1.png")

box = st.tuples(
    st.integers(0, 100), st.integers(0, 80), st.integers(1, 100), st.integers(1, 80)
).map(list)
annotation = st.fixed_dictionaries(
    {
        "image": st.integers(0, len(NAMES) - 1),
        "category_id": st.sampled_from(list(CATEGORIES)),
        "bbox": box,
        "area": st.sampled_from([0, 400.5, 5000, 20000]),
        "iscrowd": st.sampled_from([0, 0, 0, 1]),
    }
)


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a COCO file's content and detections, each a bit off an object or somewhere."""
    ids = draw(st.sampled_from([[1, 2, 3], [7, 2, 900], ["a", "b", "c"], ["10", "9", "x/y"]]))
    notes = draw(st.lists(annotation, min_size=1, max_size=8))
    notes += draw(st.lists(st.sampled_from(notes), max_size=2))  # an object that stands there twice
    detections = []
    for note in draw(st.lists(st.sampled_from(notes), max_size=8)):
        off = draw(st.tuples(*[st.integers(0, 6)] * 4))
        detections.append({**note, "bbox": [a + b for a, b in zip(note["bbox"], off, strict=True)]})
    detections += draw(st.lists(annotation, max_size=4))
    content = {
        "info": {},
        "images": [
            {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for i, name in zip(ids, NAMES, strict=True)
        ],
        "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
        "annotations": [
            {**note, "image_id": ids[note["image"]], "id": number}
            for number, note in enumerate(notes, start=1)
        ],
    }
    # No two alike: which of these comes first is decided by the order of the images.
    scores = [rank / 16 for rank in draw(st.permutations(range(len(detections))))]
    found = [
        {
            "image_id": ids[each["image"]],
            "category_id": each["category_id"],
            # No overlap is a threshold's to the last digit, which float32 would decide.
            "bbox": [side + 0.0371 for side in each["bbox"]],
            "score": score,
        }
        for each, score in zip(detections, scores, strict=True)
    ]
    return content, found


def by_pycocotools(file: Path, found: list[dict[str, Any]]) -> list[float]:
    """Return its twelve figures; -1 where there is nothing to find."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def ours(file: Path, content: dict[str, Any], found: list[dict[str, Any]]) -> Judgement:
    images = [file.parent / name for name in NAMES]
    labelled = labels_of_images(images, LABELS, file)
    assert labelled is not None
    (split,) = labelled.splits
    check_labels(labelled, split)
    ids, _ = model_ids(labelled, split, LABELS)
    detections = []
    for entry in content["images"]:
        rows = [row for row in found if row["image_id"] == entry["id"]]
        corners = [(x, y, x + w, y + h) for x, y, w, h in (row["bbox"] for row in rows)]
        names = [CATEGORIES[row["category_id"]] for row in rows]
        detections.append(
            SimpleNamespace(
                boxes=np.array(corners, np.float32).reshape(-1, 4),
                scores=np.array([row["score"] for row in rows], np.float32),
                class_ids=np.array([LABELS.index(name) for name in names], np.int32),
            )
        )
    truths = [truth_of(image, (WIDTH, HEIGHT), ids) for image in split.images]
    return judge(truths, detections, len(LABELS), 100)


@settings(max_examples=200, deadline=None)
@given(run=runs())
def test_figures_are_those_of_pycocotools(
    tmp_path_factory: pytest.TempPathFactory,
    run: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    content, found = run
    file = tmp_path_factory.mktemp("coco") / "annotations.json"
    file.write_text(json.dumps(content))
    if all(note["iscrowd"] for note in content["annotations"]):
        # On purpose: without an object to find there is no figure.
        with pytest.raises(DataError, match="expected objects, found none"):
            ours(file, content, found)
        return
    judged = ours(file, content, found)
    areas = ("small", "medium", "large")
    figures = [
        judged.ap(),
        judged.ap(iou=0),
        judged.ap(iou=5),
        *(judged.ap(area=area) for area in areas),
        judged.ar(),
        *(judged.ar(area) for area in areas),
    ]
    if not found:
        assert figures[0] == 0  # loadRes takes no empty list
        return
    stats = by_pycocotools(file, found)
    assert [-1 if value is None else value for value in figures] == pytest.approx(
        [*stats[:6], *stats[8:]], abs=1e-9
    )
