"""The tree of errors: one base, and all of it public."""

from __future__ import annotations

import tridet
from tridet import (
    ContractMismatch,
    InvalidInput,
    ModelUnknown,
    ServerNotReady,
    ServerUnreachable,
    TridetError,
    exceptions,
)
from tridet.exceptions import TridetError as Base


def test_all_errors_share_a_base():
    assert Base is TridetError
    for error in (ServerUnreachable, ServerNotReady, ModelUnknown, ContractMismatch, InvalidInput):
        assert issubclass(error, TridetError)


def test_every_error_is_exported():
    errors = {name for name, value in vars(exceptions).items() if isinstance(value, type)}
    assert errors <= set(tridet.__all__)
