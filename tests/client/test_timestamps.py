"""Moments are written alike everywhere."""

from tridet.timestamps import utc_text


def test_iso_8601_in_utc_to_the_millisecond() -> None:
    assert utc_text(0) == "1970-01-01T00:00:00.000Z"
    assert utc_text(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
