"""Limits that are refused."""

from __future__ import annotations

import pytest
from tridet import InvalidInput
from tridet.streaming.limits import Limits


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"in_flight": 0}, "in_flight: expected 1 or more, got 0"),
        ({"max_age_s": 0}, "max_age_s: expected more than 0 seconds, got 0"),
        ({"duration_s": -1.0}, "duration_s: expected more than 0 seconds, got -1.0"),
        ({"server_wait_s": -1}, "server_wait_s: expected 0 seconds or more, got -1"),
    ],
)
def test_limits_that_make_no_sense(limits, text):
    with pytest.raises(InvalidInput) as error:
        Limits(**limits)
    assert str(error.value) == text
