"""What the stub detector finds."""

import numpy as np
from bench_pipelines import scene
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters


def test_the_stub_finds_every_object_once() -> None:
    boxes, scores, class_ids = scene.candidates()
    assert boxes.shape == (scene.CANDIDATES, 4)
    assert (np.diff(scores) <= 0).all()
    for iou, agnostic in ((0.45, True), (scene.IOU, False)):
        thresholds = NmsParameters(conf=scene.CONF, iou=iou, max_det=300, agnostic=agnostic)
        assert len(nms(boxes, scores, class_ids, thresholds)) == scene.OBJECTS
