"""Zones and lines that are refused."""

from __future__ import annotations

import pytest
from tridet import InvalidInput
from tridet.streaming.zones import parse_line, parse_zone, zone_from_numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dock", "zone: expected NAME=x1,y1,x2,y2,x3,y3,..., got 'dock'"),
        ("=1,2,3,4,5,6", "zone: expected NAME="),
        ("dock=1,2,3,4", "zone dock: expected three corners or more, got 2"),
        ("dock=1,2,3,4,5", "zone dock: expected pairs of x and y, got 5 numbers"),
        ("dock=1,2,3,x,5,6", "zone dock: expected numbers of 0 or more, got 'x'"),
        ("dock=1,2,3,-4,5,6", "got '-4'"),
        ("dock=1,2,3,nan,5,6", "got 'nan'"),
        (
            "dock=0.5,0,100,0,100,100",
            "expected pixels or fractions of the frame .0 to 1., got both",
        ),
        ("dock=0,0,10,10,20,20", "zone dock: expected corners that enclose an area, got a line"),
    ],
)
def test_zones_that_are_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_zone(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate=1,2,3", "expected pairs"),
        ("gate=1,2,3,4,5,6", "line gate: expected two different points, got 3"),
        ("gate=1,2,1,2", "line gate: expected two different points, got the same one twice"),
    ],
)
def test_lines_that_are_refused(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_line(text)


def test_numbers_of_a_config_file_are_checked_too():
    assert zone_from_numbers("z", [0, 0, 1, 0, 1, 1]) == parse_zone("z=0,0,1,0,1,1")
    for wrong in ([True, 0, 1, 0, 1, 1], [None, 0, 1, 0, 1, 1], [[0, 0], [1, 0]]):
        with pytest.raises(InvalidInput, match="zone z: expected numbers"):
            zone_from_numbers("z", wrong)
