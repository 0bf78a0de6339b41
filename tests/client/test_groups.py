"""Groups in the client: what is asked of all members, cut of each, merged and split again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_triton import LABELS, FakeTriton, detector_config, picture, response_from
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tridet import ContractMismatch, Detections, Detector, InvalidInput, MemberInfo
from tridet import wire as _wire
from tridet.groups import combined_labels, merged, parameters_and_filters
from tridet.model import members_from_config, model_info_from_config
from tridet.processing import contract
from tridet.processing.nms import nms
from tridet.processing.parameters import NmsParameters
from tritonclient.grpc.model_config_pb2 import ModelConfig

GOLDEN = Path(__file__).parents[1] / "build" / "golden_groups" / "line" / "config.pbtxt"
COMMON = {"iou": 0.5, "agnostic": False}


def member(name: str, labels: tuple[str, ...], start: int, **defaults: Any) -> MemberInfo:
    given = {"conf": 0.25, "max_det": 300, **COMMON, **defaults}
    return MemberInfo(name, labels, range(start, start + len(labels)), "fp32", given, {})


PERSON = member("person", ("person", "bag"), 0, conf=0.7, max_det=20)
HAIRNET = member("hairnet", ("hairnet", "bag", "cap"), 2, conf=0.1)
MEMBERS = (PERSON, HAIRNET)
COMBINED = ("person", "person/bag", "hairnet", "hairnet/bag", "cap")


def golden() -> ModelConfig:
    return text_format.Parse(GOLDEN.read_text(), ModelConfig())


def test_a_rendered_group_describes_itself() -> None:
    info = model_info_from_config(golden())
    assert info.labels == ("person/c0", "person/c1", "c2", "hairnet/c0", "hairnet/c1")
    assert [one.name for one in info.members] == ["person", "hairnet"]
    assert [one.labels for one in info.members] == [("c0", "c1", "c2"), ("c0", "c1")]
    assert [one.class_ids for one in info.members] == [range(3), range(3, 5)]
    assert [one.defaults["conf"] for one in info.members] == [0.4, 0.1]
    assert dict(info.defaults) == {"iou": 0.7, "agnostic": False}
    assert info.max_pixels == 9_000_000, "the strictest member's"
    assert info.precision == "fp32"
    assert info.build.keys() == {"person", "hairnet"}
    assert members_from_config(golden()) == ("person", "hairnet")


def test_a_lone_detector_is_its_only_member() -> None:
    info = model_info_from_config(detector_config())
    (only,) = info.members
    assert (only.name, only.labels, only.class_ids) == ("pcb", LABELS, range(3))
    assert only.defaults == info.defaults
    assert members_from_config(detector_config()) == ()
    assert members_from_config(ModelConfig(name="nms")) == ()


def test_a_client_that_knows_no_groups_refuses_one() -> None:
    config = golden()
    # To such a client this parameter is not there, and it looks at the contract first of all.
    del config.parameters[contract.PARAM_GROUP]
    with pytest.raises(ContractMismatch, match="expected contract 1, got 2; install the tridet"):
        model_info_from_config(config)


def changed(change: Any) -> ModelConfig:
    config = golden()
    members = json.loads(config.parameters[contract.PARAM_GROUP].string_value)
    result = change(members)
    text = json.dumps(members if result is None else result)
    config.parameters[contract.PARAM_GROUP].string_value = text
    return config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda members: members[:1], "expected two members or more in tridet.group, got 1"),
        (lambda _: {}, "expected tridet.group to hold a JSON list"),
        (lambda _: ["person", "hairnet"], 'to hold objects with name, labels, .* got "person"'),
        (lambda members: members[0].pop("labels"), "to hold objects with name, labels"),
        (lambda members: members[1]["defaults"].pop("iou") and None, "missing iou"),
        (lambda members: members[1].update(name="cap"), "missing cap_detection_boxes"),
    ],
)
def test_a_malformed_group_is_refused(change: Any, complaint: str) -> None:
    with pytest.raises(ContractMismatch, match=complaint):
        model_info_from_config(changed(change))


def test_labels_are_prefixed_only_where_members_share_them() -> None:
    assert combined_labels([(one.name, one.labels) for one in MEMBERS]) == COMBINED


def test_all_members_are_asked_for_the_loosest() -> None:
    parameters, filters = parameters_and_filters({}, MEMBERS, COMBINED)
    assert parameters["conf"] == 0.1
    assert parameters["max_det"] >= 30_000  # as many candidates as a manifest may ask for
    assert (parameters["iou"], parameters["agnostic"]) == (0.5, False)
    assert "classes" not in parameters
    assert [(one.conf, one.max_det, one.classes) for one in filters] == [
        (0.7, 20, None),
        (0.1, 300, None),
    ]
    wished = {"conf": 0.3, "classes": ["cap", 0]}
    parameters, filters = parameters_and_filters(wished, MEMBERS, COMBINED)
    assert "classes" not in parameters
    assert {(one.conf, one.classes) for one in filters} == {(0.3, frozenset({0, 4}))}


@pytest.mark.parametrize(
    ("wished", "complaint"),
    [
        ({"conf": 2}, "conf: expected a number from 0 to 1, got 2"),
        ({"classes": "bag"}, "classes: expected one of person, person/bag"),
        ({"classes": 5}, "an index from 0 to 4, got 5"),
        ({"classes": [], "agnostic": True}, r"none beside agnostic=True in a group, got \[\]"),
    ],
)
def test_what_a_group_cannot_do_is_refused(wished: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parameters_and_filters(wished, MEMBERS, COMBINED)


def test_agnostic_by_default_rules_classes_out_too() -> None:
    members = [member(name, ("a",), i, agnostic=True) for i, name in enumerate(("one", "two"))]
    with pytest.raises(InvalidInput, match="would suppress theirs before they are cut"):
        parameters_and_filters({"classes": [0]}, members, ("one/a", "two/a"))


@given(
    seed=st.integers(0, 2**32 - 1),
    conf=st.sampled_from([None, 0.0, 0.3, 0.7]),
    max_det=st.sampled_from([None, 1, 3]),
    classes=st.one_of(st.none(), st.lists(st.integers(0, 4))),
    agnostic=st.booleans(),
)
def test_what_is_cut_here_is_what_the_server_would_cut(
    seed: int, conf: float | None, max_det: int | None, classes: list[int] | None, agnostic: bool
) -> None:
    wished = {"conf": conf, "max_det": max_det, "classes": classes, "agnostic": agnostic}
    if agnostic:
        wished["classes"] = None
    wished = {key: value for key, value in wished.items() if value is not None}
    parameters, filters = parameters_and_filters(wished, MEMBERS, COMBINED)
    rng = np.random.default_rng(seed)
    candidates, found = [], []
    for one in MEMBERS:
        corner = rng.uniform(0, 30, (25, 2))
        boxes = np.hstack([corner, corner + rng.uniform(5, 40, (25, 2))]).astype(np.float32)
        # Steps, so that scores are equal to each other and to the threshold.
        scores = np.sort(rng.integers(0, 11, 25) / 10).astype(np.float32)[::-1]
        ids = rng.integers(0, len(one.labels), 25).astype(np.int32)
        candidates.append((boxes, scores, ids))
        asked = NmsParameters(
            **{name: parameters[name] for name in ("conf", "iou", "max_det", "agnostic")}
        )  # type: ignore[arg-type]
        rows = nms(boxes, scores, ids, asked)
        found.append((boxes[rows], scores[rows], ids[rows]))
    boxes, scores, ids = merged(found, MEMBERS, filters)
    assert (np.diff(scores) <= 0).all()
    for one, candidate in zip(MEMBERS, candidates, strict=True):
        alone = {**one.defaults, **wished}
        own = None
        if "classes" in wished:
            own = tuple(i - one.class_ids.start for i in wished["classes"] if i in one.class_ids)  # type: ignore[attr-defined]
        rows = nms(*candidate, NmsParameters(**{**alone, "classes": own}))
        mine = (ids >= one.class_ids.start) & (ids < one.class_ids.stop)
        np.testing.assert_array_equal(boxes[mine], candidate[0][rows])
        np.testing.assert_array_equal(scores[mine], candidate[1][rows])
        np.testing.assert_array_equal(ids[mine] - one.class_ids.start, candidate[2][rows])


def test_a_class_without_a_label_is_not_taken_for_the_next_members() -> None:
    _, filters = parameters_and_filters({}, MEMBERS, COMBINED)
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    stray = (np.zeros((1, 4), np.float32), np.float32([0.9]), np.int32([2]))
    with pytest.raises(ContractMismatch, match="'person': expected class ids below 2"):
        merged([stray, nothing], MEMBERS, filters)


def test_detections_split_by_detector() -> None:
    boxes = np.arange(20, dtype=np.float32).reshape(5, 4)
    found = Detections(
        boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [2, 1, 4, 0, 3], COMBINED, (99, 99), "a.jpg", 0.1, MEMBERS
    )
    found = replace(found, track_ids=np.arange(5))
    parts = found.by_detector()
    assert list(parts) == ["person", "hairnet"]
    person, hairnet = parts.values()
    assert person.names == ("bag", "person")
    assert hairnet.names == ("hairnet", "cap", "bag")
    np.testing.assert_array_equal(hairnet.boxes, boxes[[0, 2, 4]])
    assert hairnet.class_ids.tolist() == [0, 2, 1]
    assert hairnet.track_ids is not None
    assert hairnet.track_ids.tolist() == [0, 2, 4]
    assert (person.source, person.image_size, person.elapsed_s) == ("a.jpg", (99, 99), 0.1)
    assert hairnet.by_detector() == {"hairnet": hairnet}
    with pytest.raises(ValueError, match="expected detections that a detector returned"):
        Detections([], [], [], COMBINED, (1, 1)).by_detector()


def test_a_lone_detector_splits_into_itself() -> None:
    with FakeTriton() as triton, Detector(triton.url, "pcb") as detector:
        found = detector(picture(90, 60))
    assert found.by_detector() == {"pcb": found}


def test_outputs_are_asked_for_and_read_by_member() -> None:
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
    response = response_from("line", *empty)
    with pytest.raises(ContractMismatch, match="expected the outputs person_num_detections"):
        _wire.arrays_from_response(response, model_info_from_config(golden()).outputs[0])
