"""A map over threads: in order, bounded, and errors at their turn."""

from __future__ import annotations

import pytest
from tridet.pipeline import ordered_map


@pytest.mark.parametrize("in_flight", [1, 3, 100])
def test_ordered_map_is_map(in_flight):
    assert list(ordered_map(lambda x: x * x, range(20), in_flight)) == [x * x for x in range(20)]


def test_ordered_map_reads_no_further_than_its_bound():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = ordered_map(str, items(), 4)
    assert next(results) == "0"
    assert len(taken) == 4
    results.close()


def test_ordered_map_raises_where_the_error_was():
    results = ordered_map(lambda x: 1 // x, [2, 1, 0, 3], 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
