"""Ratios and targets."""

import pytest
from bench_cases import case
from bench_pipelines.summary import RealSummary, Target, ratio_of_rounds, real_target, targets
from bench_pipelines.tables import target_table


def test_a_slow_round_does_not_change_the_ratio() -> None:
    assert ratio_of_rounds([1.0, 10.0, 1.0], [10.0, 100.0, 10.0]) == pytest.approx(0.1)
    with pytest.raises(ValueError):
        ratio_of_rounds([1.0], [1.0, 2.0])


def test_a_target_says_by_how_much() -> None:
    assert Target("a", 4.5, 3.6).verdict == "met by 20%"
    assert Target("a", 4.5, 9.0).verdict == "missed by 100%"
    assert Target("b", 0.95, 0.76, at_least=True).verdict == "missed by 20%"
    assert Target("b", 0.95, 0.95, at_least=True).met


def test_targets_are_those_whose_cases_were_measured() -> None:
    auto = "tridet auto"
    assert targets([]) == []
    assert targets([case(auto, "1080p", 4.0, concurrency=8)]) == []
    found = targets(
        [
            case("naive", "1080p", 40.0),
            case(auto, "1080p", 4.0),
            case(auto, "720p", 3.0),
            case("tridet raw", "720p", 9.0),
            case(auto, "4K", 6.0),
        ]
    )
    by_name = {target.name: target for target in found}
    assert len(by_name) == len(found) == 7
    assert by_name["auto / naive, 1080p, p50"].measured == pytest.approx(0.1)
    assert by_name["auto, 4K / 720p, p50"].measured == pytest.approx(2.0)
    assert not by_name["auto, 4K / 720p, p50"].met
    assert not by_name["server outside the detector, 720p, raw"].met
    rows = target_table(found).rows
    assert rows[0] == ("auto / naive, 1080p, p50", "≤ 0.12", "0.1", "met by 17%")


def test_the_real_target_is_best_beside_best() -> None:
    rows = [
        RealSummary(1, 15.0, 20.0, 1, 0.75, 1.0, 60.0, 70.0),
        RealSummary(8, 19.2, 18.0, 8, 1.06, 7.5, 400.0, 500.0),
    ]
    target = real_target(rows)
    assert target.measured == pytest.approx(0.96)
    assert target.met
