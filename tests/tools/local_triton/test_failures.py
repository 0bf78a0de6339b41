"""What each failure of a start says."""

from __future__ import annotations

import local_triton
import pytest
from local_triton import (
    ServeError,
)
from local_triton.failures import startup_error, timeout_error
from triton_log import STAMP, feed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "model_lifecycle.cc:642] \"failed to load 'm' version 1: Invalid argument: unable to "
            "find backend library for backend 'onnxruntime', try\"",
            ["'m'", "Python backend only", "--model-config-name python"],
        ),
        (
            "x.cc:724] \"failed to load model 'm': at least one version must be available under\"",
            ["'m'", "version folder"],
        ),
        ("x.cc:1460] \"Poll failed for model directory 'm': failed to read\"", ["'m'", "failed"]),
        ("x.cc:1] \"failed to load 'm' version 1: No module named 'cv3'\"", ["install it into"]),
        (
            "x.cc:1] \"failed to load 'm' version 1: Stub process 'm_0_0' is not healthy.\"",
            ["process ended", "log"],
        ),
        (
            'main.cc:257] "failed to start HTTP service: Unavailable - '
            "Socket '127.0.0.1:8000' already in use \"",
            ["8000", "--http-port"],
        ),
        ('x.cc:1] "something else"', ["status 1", "something else", "--verbose"]),
    ],
)
def test_startup_error_names_its_fix(line: str, said: list[str]) -> None:
    text = str(startup_error(feed(f"E{STAMP} {line}")[0], (8001, 8000, 8002), 1))
    assert "\n" not in text
    assert [part for part in said if part not in text] == []


def test_a_start_that_would_never_end_is_noticed() -> None:
    """Triton 2.51 waits for ever for a stub that could not start."""
    line = "/x/triton_python_backend_stub: error while loading shared libraries: libpython3.11.so"
    log, _ = feed(line)
    assert log.hung is not None
    assert "libpython3.11.so" in str(startup_error(log, (1, 2, 3), None))
    log, _ = feed(f"I{STAMP} pb_stub.cc:2105]  Failed to preinitialize Python stub: Python model "
                  "file not found in '/r/nms/1/model.py'")  # fmt: skip
    assert log.hung is not None
    assert list(log.failures) == ["nms"]


def test_timeout_names_the_models_that_are_loading() -> None:
    log, _ = feed(f'I{STAMP} x.cc:1] "loading: slow:1"')
    assert "still loading slow" in str(timeout_error(log, 3))


def test_every_error_is_a_serve_error() -> None:
    errors = [
        getattr(local_triton, name) for name in local_triton.__all__ if name.endswith("Error")
    ]
    assert len(errors) == 7
    assert all(issubclass(error, ServeError) for error in errors)
