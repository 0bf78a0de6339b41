"""A package that an extra installs, and is not there."""

from __future__ import annotations

import sys

import pytest
from tridet import MissingExtra
from tridet.extras import require


def test_what_is_there_is_not_imported():
    require("draw", "json", "antigravity")
    assert "antigravity" not in sys.modules


def test_the_first_that_is_missing_is_named_with_its_install():
    with pytest.raises(MissingExtra) as error:
        require("stream", "json", "no_such_package", "another")
    assert str(error.value) == (
        "expected the package no_such_package, found none; pip install 'tridet[stream]'"
    )
