"""What may be set for a detection: checked before anything is sent."""

from __future__ import annotations

import pytest
from failures import IMAGE
from tridet import Detector, InvalidInput
from tridet.options import parameters_from_thresholds


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        ({"conf": 1.5}, "conf: expected a number from 0 to 1, got 1.5"),
        ({"iou": "high"}, "iou: expected a number"),
        ({"conf": True}, "conf: expected a number"),
        ({"max_det": 0}, "max_det: expected an integer of 1 or more, got 0"),
        ({"max_det": 1.5}, "max_det: expected an integer"),
        ({"agnostic": 1}, "agnostic: expected true or false, got 1"),
        ({"classes": ["pink"]}, "expected one of blue, green, red or an index from 0 to 2"),
        ({"classes": [3]}, "got 3"),
        ({"classes": 1.5}, "classes: expected names or indices"),
    ],
)
def test_thresholds_out_of_range(fake, threshold, text):
    with Detector(fake.url, "pcb") as detector, pytest.raises(InvalidInput, match=text):
        detector(IMAGE, **threshold)
    assert not fake.requests


def test_an_unknown_threshold_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword confidence: expected conf, iou"):
        Detector("localhost:1", "pcb", confidence=0.5)


@pytest.mark.parametrize(
    ("classes", "labels", "ids"),
    [
        # The right value is the class of that name, where there is one.
        ("1", ("1", "2", "5", "10"), "0"),
        ("10,2", ("1", "2", "5", "10"), "3,1"),
        (["10", 0], ("1", "2", "5", "10"), "3,0"),
        ("3", ("1", "2", "5", "10"), "3"),
        ("1, blue", ("blue", "green"), "1,0"),
        (1, ("blue", "green"), "1"),
        ("nut, bolt", ("nut, bolt", " washer"), "0"),
        (" washer", ("nut, bolt", " washer"), "1"),
        (" washer,nut, bolt", ("nut, bolt", " washer"), "1,0"),
        ("nut, bolt", ("nut", "bolt"), "0,1"),
        ("nut, bolt, nut", ("nut", "bolt", "nut, bolt"), "2,0"),
        ("a,,b,", ("a", "b"), "0,1"),
        ("", ("a", "b"), ""),
    ],
)
def test_classes_by_name_or_index(classes, labels, ids):
    assert parameters_from_thresholds({"classes": classes}, labels) == {"classes": ids}


@pytest.mark.parametrize("classes", ["4", "nut", "nut, screw", ["nut,bolt"], [4], [-1], "-1"])
def test_classes_that_there_are_not(classes):
    with pytest.raises(InvalidInput, match="classes: expected one of nut, bolt"):
        parameters_from_thresholds({"classes": classes}, ("nut, bolt", "washer", "2"))
