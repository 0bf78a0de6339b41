import pytest
from hypothesis import settings

# These machines are shared; a slow moment is no failure.
settings.register_profile("tridet", deadline=None)
settings.load_profile("tridet")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")
