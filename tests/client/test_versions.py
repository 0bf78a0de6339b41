"""Versions are those of what is installed, and of nothing else."""

from importlib.metadata import version

from tridet.versions import installed_versions


def test_what_is_not_installed_is_left_out_and_the_order_stays() -> None:
    found = installed_versions(["numpy", "no-such-package", "grpcio"])
    assert list(found.items()) == [("numpy", version("numpy")), ("grpcio", version("grpcio"))]
