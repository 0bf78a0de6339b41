"""What the client's tests share: a fake Triton."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_triton import FakeTriton


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with FakeTriton() as server:
        yield server
