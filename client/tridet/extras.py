"""What is installed only on demand: the extras of the distribution."""

from __future__ import annotations

from importlib.util import find_spec

from tridet.exceptions import MissingExtra


def require(extra: str, *modules: str) -> None:
    """Refuse to begin without what an extra installs; imports nothing.

    Args:
        extra: of the distribution ``tridet``, such as ``draw``.
        *modules: top-level modules of it that are about to be used.

    Raises:
        MissingExtra: one is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(
                f"expected the package {module}, found none; pip install 'tridet[{extra}]'"
            )
