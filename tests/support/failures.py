"""Calls that fail, and what they fail with."""

from __future__ import annotations

from typing import Any

import pytest
from fake_triton import FakeTriton, picture
from tridet import Detector, TridetError

IMAGE = picture(64, 64)


def failure(
    fake: FakeTriton, image: Any = IMAGE, *, model: str = "pcb", **options: Any
) -> TridetError:
    """Return the error, of one line, that a call or the connection before it ends with."""
    with pytest.raises(TridetError) as caught, Detector(fake.url, model, **options) as detector:
        detector(image)
    assert "\n" not in str(caught.value)
    return caught.value
