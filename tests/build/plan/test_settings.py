"""What a plan is asked to be."""

from typing import Any

import pytest
from tridet_build.manifest.sizes import Span
from tridet_build.plan.settings import PlanSettings


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"workspace_mib": 0}, "workspace_mib\n  Input should be greater than 0"),
        (
            {"optimization_level": 6},
            "optimization_level\n  Input should be less than or equal to 5",
        ),
        ({"share": 0.0}, "share\n  Input should be greater than 0"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        PlanSettings(**wrong)


def test_a_span_is_ordered() -> None:
    with pytest.raises(ValueError, match="expected min <= opt <= max, got 1/16/8"):
        Span(1, 16, 8)
    with pytest.raises(ValueError, match="Input should be greater than 0"):
        Span(0, 1, 1)


def test_profile() -> None:
    settings = PlanSettings(batch=Span(1, 4, 8), size=Span(320, 640, 1280))
    assert settings.profile == ((1, 320, 320, 3), (4, 640, 640, 3), (8, 1280, 1280, 3))
