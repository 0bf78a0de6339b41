"""Tracks, zones and lines of a stream, on boxes whose paths are known."""

from __future__ import annotations

import gc
import sys
from types import FunctionType, ModuleType

import numpy as np
import pytest
from tridet import Detections, InvalidInput, MissingExtra
from tridet.streaming.analysis import Analysis
from tridet.streaming.clock import FrameClock, Timing
from tridet.streaming.frames import Frame, StreamResult
from tridet.streaming.zones import Areas, parse_line, parse_zone

SIZE = (640, 480)


LABELS = ("short", "spur")


def frame(index, *, source="cam", pts_s=None, at_s=None, size=SIZE):
    at_s = index / 25 if at_s is None else at_s
    pixels = np.full((size[1], size[0], 3), 40, np.uint8)
    return Frame(source, index, at_s if pts_s is None else pts_s, 1e9 + at_s, at_s, pixels)


def found(*centres, classes=None, size=SIZE, half=20):
    """Return detections of squares around the centres."""
    boxes = [(x - half, y - half, x + half, y + half) for x, y in centres]
    ids = classes or [0] * len(boxes)
    scores = np.linspace(0.9, 0.8, len(boxes))
    return Detections(np.reshape(boxes, (-1, 4)), scores, ids, LABELS, size)


def run(analysis, steps, source="cam"):
    """Give each step's detections to the analysis, 25 a second; return the last counts, and all."""
    results = [analysis.update(source, frame(i, source=source), d) for i, d in enumerate(steps)]
    return results[-1][1], results


def events_of(results):
    return [event for _, _, events in results for event in events]


def test_ids_stay_while_objects_move_and_pass_each_other():
    _, results = run(
        Analysis(tracking=True),
        [found((100 + 5 * i, 100), (540 - 5 * i, 150)) for i in range(80)],
    )
    assert results[0][0].track_ids.tolist() == [-1, -1]  # no track before the second frame
    ids = {tuple(detections.track_ids.tolist()) for detections, _, _ in results[1:]}
    assert len(ids) == 1
    assert len(set(ids.pop())) == 2


def test_ids_follow_their_boxes_whatever_the_order():
    straight = [((100 + 3 * i, 100), (100 + 3 * i, 300)) for i in range(20)]
    _, results = run(
        Analysis(tracking=True),
        [found(*pair[:: 1 - 2 * (i % 2)]) for i, pair in enumerate(straight)],
    )
    by_row = [
        {box[1] > 200: track for box, track in zip(d.boxes, d.track_ids.tolist(), strict=True)}
        for d, _, _ in results[1:]
    ]
    assert all(ids == by_row[0] for ids in by_row)


def test_a_track_keeps_to_its_class():
    """Where one object was, one of another class is another, and both may be in one place."""
    classes = [[0]] * 10 + [[1]] * 10 + [[0, 1]] * 10
    steps = [found(*[(200, 100)] * len(ids), classes=ids) for ids in classes]
    _, results = run(Analysis(tracking=True), steps)
    seen = {(item.class_id, item.track_id) for d, _, _ in results for item in d}
    tracks = {class_id: track for class_id, track in seen if track is not None}
    assert len(tracks) == len(set(tracks.values())) == 2
    assert seen == {*tracks.items(), (0, None), (1, None)}


def test_dropped_frames_are_time_that_went_by():
    """An object that jumps on, because frames were dropped, is the same one if the time says so."""

    def ids(gap_s):
        analysis, now_s, tracks = Analysis(tracking=True), 0.0, []
        for i in range(16):
            x = 60 + 8 * i if i < 15 else 60 + 8 * 14 + 200 * 0.4
            now_s += 0.04 if i < 15 else gap_s
            detections, _, _ = analysis.update("cam", frame(i, at_s=now_s), found((x, 100)))
            tracks.append(detections.track_ids[0])
        return tracks

    in_time = ids(gap_s=0.4)
    assert in_time[-1] == in_time[-2] >= 0
    too_late = ids(gap_s=5)
    assert too_late[-1] != too_late[-2]


@pytest.mark.parametrize(("gone_s", "tracks"), [(0.04, 1), (5, 2)])
def test_a_camera_whose_clock_starts_again_is_tracked_on_unless_it_was_long_away(gone_s, tracks):
    analysis, clock, ids = Analysis(tracking=True), FrameClock(), set()
    clock.begin(Timing(None, 10.0))
    for i in range(30):
        back = i >= 15
        at_s = i / 25 + back * gone_s
        pts_s = clock.at(i / 25 if back else 1000 + i / 25, None, at_s)
        shot = frame(i, pts_s=pts_s, at_s=at_s)
        detections, _, _ = analysis.update("cam", shot, found((100 + 4 * i, 100)))
        ids |= set(detections.track_ids.tolist()) - {-1}
    assert len(ids) == tracks


def test_a_file_that_is_read_faster_than_it_plays_is_tracked_by_its_own_clock():
    analysis, ids = Analysis(tracking=True), set()
    for i in range(20):
        shot = frame(i, pts_s=i / 25 + 5 * (i >= 10), at_s=i / 1000)  # five seconds cut out
        detections, _, _ = analysis.update("cam", shot, found((100 + 4 * i, 100)))
        ids |= set(detections.track_ids.tolist()) - {-1}
    assert len(ids) == 2


def test_a_change_of_resolution_breaks_neither_track_nor_count():
    analysis = Analysis(
        lines=[parse_line("gate=320,480,320,0")], zones=[parse_zone("r=0.5,0,1,0,1,1,.5,1")]
    )
    tracks = []
    for i in range(40):
        scale = 1 if i < 15 else 2
        size = (SIZE[0] * scale, SIZE[1] * scale)
        here = found(((200 + 8 * i) * scale, 200 * scale), size=size, half=20 * scale)
        detections, counts, _ = analysis.update("cam", frame(i, size=size), here)
        tracks.append(detections.track_ids[0])
    assert len(set(tracks[1:])) == 1
    assert counts == {"r": {"short": 1}, "gate": {"in": 0, "out": 1}}


def test_lines_count_each_crossing_with_its_direction_and_class():
    # Upwards along the line: left of it is the left half of the frame.
    analysis = Analysis(lines=[parse_line("gate=320,480,320,0")])
    steps = [
        found((200 + 6 * i, 100), (440 - 6 * i, 300), (100, 400), classes=[0, 1, 0])
        for i in range(45)
    ]
    counts, results = run(analysis, steps)
    assert counts == {"gate": {"in": 1, "out": 1}}
    went = {e.details["direction"]: e.details["class"] for e in events_of(results)}
    assert went == {"out": "short", "in": "spur"}
    assert {(e.kind, e.name) for e in events_of(results)} == {("line", "gate")}
    by_class = {item.name: item.track_id for item in results[-1][0] if item.box[1] < 350}
    for event in events_of(results):
        assert event.details["track_id"] == by_class[event.details["class"]]


def test_there_and_back_is_counted_twice():
    xs = [*range(200, 441, 10), *range(430, 199, -10)]
    counts, _ = run(Analysis(lines=[parse_line("gate=0.5,1,0.5,0")]), [found((x, 100)) for x in xs])
    assert counts == {"gate": {"in": 1, "out": 1}}


def test_beside_a_line_is_not_across_it():
    counts, _ = run(
        Analysis(lines=[parse_line("gate=320,480,320,240")]),
        [found((200 + 6 * i, 100)) for i in range(45)],
    )
    assert counts == {"gate": {"in": 0, "out": 0}}


@pytest.mark.parametrize("missing", [1, 3, 8])
def test_an_object_that_is_not_detected_on_the_line_is_counted(missing):
    away, parked = range(20, 20 + missing), (100, 400)
    steps = [found(parked) if i in away else found(parked, (200 + 6 * i, 100)) for i in range(45)]
    counts, _ = run(Analysis(lines=[parse_line("gate=320,480,320,0")]), steps)
    assert counts == {"gate": {"in": 0, "out": 1}}


def test_zones_count_by_class_what_is_in_them_now():
    analysis = Analysis(
        zones=[parse_zone("left=0,0,320,0,320,480,0,480"), parse_zone("top=0,0,1,0,1,.5,0,.5")]
    )
    steps = [
        found((100, 100), (110, 400), (500, 100), (90, 90), classes=[0, 0, 1, 1]),
        found((500, 400)),
        found(),
    ]
    counts = [analysis.update("cam", frame(i), d)[1] for i, d in enumerate(steps)]
    assert counts[0] == {"left": {"short": 2, "spur": 1}, "top": {"short": 1, "spur": 2}}
    assert counts[1] == counts[2] == {"left": {}, "top": {}}


def test_zones_alone_need_no_tracks():
    detections, _, _ = Analysis(zones=[parse_zone("all=0,0,1,0,1,1")]).update(
        "cam", frame(0), found((9, 9))
    )
    assert detections.track_ids is None


def test_sources_do_not_mix():
    analysis = Analysis(
        zones=[parse_zone("all=0,0,1,0,1,1,0,1")],
        areas_by_source={"b": Areas(lines=(parse_line("gate=320,480,320,0"),))},
    )
    for i in range(45):
        a = analysis.update("a", frame(i, source="a"), found((440 - 6 * i, 100)))
        b = analysis.update("b", frame(i, source="b"), found((200 + 6 * i, 100), (50, 400)))
    assert a[1] == {"all": {"short": 1}}
    assert a[0].track_ids is None
    assert b[1] == {"all": {"short": 2}, "gate": {"in": 0, "out": 1}}
    assert len(set(b[0].track_ids.tolist())) == 2


def objects_in(root):
    """Return how many objects it holds, at any depth, whoever's they are."""
    seen, left = set(), [root]
    while left:
        one = left.pop()
        if id(one) not in seen and not isinstance(one, (type, ModuleType, FunctionType)):
            seen.add(id(one))
            left += gc.get_referents(one)
    return len(seen)


def test_a_long_stream_remembers_no_more_than_the_last_second():
    analysis = Analysis(lines=[parse_line("gate=320,480,320,0")])
    sizes = []
    for i in range(1200):  # a new object every four frames, each seen four times
        spot = (60 + 90 * (i // 4 % 6), 60 + 90 * (i // 24 % 4))
        analysis.update("cam", frame(i), found(spot))
        if i % 240 == 239:
            sizes.append(objects_in(analysis))
    assert max(sizes) < 1.2 * min(sizes)


def test_areas_that_cannot_count_are_refused():
    with pytest.raises(InvalidInput, match="expected unique names, got a more than once"):
        Analysis(zones=[parse_zone("a=0,0,1,0,1,1")], lines=[parse_line("a=0,0,1,1")])
    analysis = Analysis(zones=[parse_zone("a=0,0,700,0,700,100")])
    with pytest.raises(
        InvalidInput, match=r"zone a: expected points in the frame, 640 x 480 pixels, got 700,0"
    ):
        analysis.update("cam", frame(0), found())


def test_tracking_without_its_library_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    for options in ({"tracking": True}, {"lines": [parse_line("a=0,0,1,1")]}):
        with pytest.raises(MissingExtra, match="expected the package trackers, found none"):
            Analysis(**options)
    assert Analysis().idle


def test_the_picture_shows_zones_lines_counts_and_ids():
    analysis = Analysis(
        tracking=True,
        zones=[parse_zone("dock=40,40,300,40,300,300,40,300")],
        lines=[parse_line("gate=0.75,0.9,0.75,0.1")],
    )
    steps = [found((170, 170), (400 + 9 * i, 300), classes=[0, 1]) for i in range(20)]
    for i, step in enumerate(steps):
        shot = frame(i)
        detections, counts, events = analysis.update("cam", shot, step)
        result = StreamResult(shot, detections, 0.1, counts, events)
    drawn = analysis.draw(result)
    assert (shot.pixels == 40).all()
    changed = (drawn != 40).any(axis=2)
    assert changed[60:140, 60:140].all()  # the zone is tinted
    assert changed[200, 478:483].any()  # the line
    assert not changed[400:, :200].any()
    without = analysis.draw(StreamResult(shot, detections, 0.1, {}, ()))
    assert (without != drawn).any()  # the counts are those of the result
