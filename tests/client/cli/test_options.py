"""What options that several commands share make of their texts."""

from __future__ import annotations

import click
import pytest
from tridet.cli.options import CommaList, positive_integers, some_of

WORDS = some_of(("fit", "raw"))
NUMBERS = positive_integers("1,8")
ANY = CommaList(str, "anything", skip_empty=True)


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        (NUMBERS, "1, 8", [1, 8]),
        (WORDS, "raw,fit", ["raw", "fit"]),
        (ANY, "", []),
        (ANY, "a,, b,", ["a", "b"]),
        (ANY, ("a", "b"), ["a", "b"]),
    ],
)
def test_lists(kind: CommaList, text: object, values: list[object]) -> None:
    assert kind.convert(text, None, None) == values


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        (NUMBERS, "1,x", "expected numbers like 1,8, got 'x'"),
        (NUMBERS, "0", "expected numbers like 1,8, got '0'"),
        (NUMBERS, "", "expected numbers like 1,8, got ''"),
        (NUMBERS, "1,,2", "expected numbers like 1,8, got ''"),
        (WORDS, "fit,udp", "expected some of fit, raw, got 'udp'"),
    ],
)
def test_what_is_refused(kind: CommaList, text: str, complaint: str) -> None:
    with pytest.raises(click.BadParameter, match=complaint):
        kind.convert(text, None, None)
