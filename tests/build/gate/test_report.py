"""Limits, what is beyond them in words, and the picture of the worst image."""

from pathlib import Path

import pytest
from gate_parts import SETTINGS, found
from tridet_build.errors import GateError
from tridet_build.gate.detections import compare
from tridet_build.gate.report import LIMITS, GateLimits, Scores, draw_worst, problems


def test_defaults_are_a_tenth_of_a_point_and_one_point() -> None:
    assert (LIMITS["fp16"].map_drop, LIMITS["int8"].map_drop) == (0.001, 0.01)


def test_limits_on_map_say_by_how_much() -> None:
    comparison = compare([found((0, 0, 9, 9, 0.9, 0))], [found()], conf=0.25)
    before = Scores(0.99, 0.86)
    assert not problems(comparison, before, Scores(0.98, 0.85), GateLimits(0.01, 0.0))
    assert not problems(comparison, before, Scores(0.995, 0.87), GateLimits(0.0, 0.0))
    (line,) = problems(comparison, before, Scores(0.99, 0.8365), GateLimits(0.01, 0.0))
    assert line == ("mAP50-95 falls by 2.35 points (86.00 to 83.65), 1.35 over the limit of 1.00")


def test_limits_without_labels_are_on_changed_detections() -> None:
    rows = [(10.0 * i, 0.0, 10.0 * i + 9, 9.0, 0.9, 0) for i in range(10)]
    comparison = compare([found(*rows)], [found(*rows[:9])], conf=0.25)
    assert not problems(comparison, None, None, GateLimits(0.0, 0.1))
    (line,) = problems(comparison, None, None, GateLimits(0.0, 0.04))
    assert line == (
        "1 missed and 0 extra of 10 detections: 10.00% changed, 6.00% over the limit of 4.00%"
    )


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_limits_are_fractions(value: float) -> None:
    with pytest.raises(GateError, match="expected a number from 0 to 1"):
        GateLimits(map_drop=value, changed=0)


def test_images_in_which_fp32_finds_nothing_prove_nothing() -> None:
    (line,) = problems(compare([found()], [found()], conf=0.25), None, None, GateLimits(0.0, 1.0))
    assert line.startswith("FP32 itself finds nothing in 1 images")


def test_worst_picture_colours_what_differs(images: list[Path]) -> None:
    before = found((5, 5, 25, 25, 0.9, 0), (30, 5, 50, 25, 0.8, 1), image=images[0])
    after = found((5, 5, 25, 25, 0.9, 0), (30, 28, 50, 45, 0.8, 2), image=images[0])
    picture = draw_worst(before, after, SETTINGS, "INT8")
    left, right = picture[:, :800], picture[:, 808:]
    red, orange, green = (50, 50, 230), (0, 140, 255), (80, 170, 60)
    for half, has, lacks in ((left, (green, red), (orange,)), (right, (green, orange), (red,))):
        colours = {tuple(pixel) for pixel in half.reshape(-1, 3).tolist()}
        assert set(has) <= colours
        assert not set(lacks) & colours
