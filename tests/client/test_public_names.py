"""What the package offers, and what importing it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, is_typeddict

import pytest
import tridet

GOLDEN = Path(__file__).with_name("golden") / "public_names.txt"
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "ultralytics",
    "supervision",
    "matplotlib",
    "av",
    "trackers",
    "rich",
)
CLI_ONLY = ("click",)
SPECIAL = ("__aenter__", "__call__", "__enter__", "__getitem__", "__iter__", "__len__")


def signature(function: Any) -> str:
    """Names, kinds and defaults of the arguments; no types, which each Python writes its way."""
    found = inspect.signature(function)
    arguments = [
        argument.replace(annotation=inspect.Parameter.empty)
        for argument in found.parameters.values()
    ]
    return str(inspect.Signature(arguments))


def described(name: str, value: Any) -> list[str]:
    """Return the lines of a public name: what callers may write."""
    if is_typeddict(value):
        return [name, *(f"    {key}" for key in value.__annotations__)]
    if inspect.isfunction(value):
        return [name + signature(value)]
    if not isinstance(value, type):
        return [" ".join([name, *map(str, get_args(value))])]
    if issubclass(value, Exception):
        return [f"{name}({', '.join(base.__name__ for base in value.__bases__)})"]
    members: dict[str, Any] = {}
    for kind in reversed(value.__mro__):
        if kind.__module__.partition(".")[0] == "tridet":
            members |= vars(kind)
    arguments = inspect.signature(value).parameters  # of a dataclass its fields
    return [
        name + signature(value),
        *(
            f"    {member}" + (signature(content) if inspect.isfunction(content) else "")
            for member, content in sorted(members.items())
            if (member in SPECIAL or not member.startswith("_")) and member not in arguments
        ),
    ]


def test_public_names_are_the_golden_ones(request: pytest.FixtureRequest) -> None:
    lines = [line for name in tridet.__all__ for line in described(name, getattr(tridet, name))]
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_all_lists_all() -> None:
    for name in tridet.__all__:
        getattr(tridet, name)  # those of the streams are there once they are asked for
    public = {
        name
        for name, value in vars(tridet).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(tridet.__all__) == sorted(public | {"__version__"})
    assert len(set(tridet.__all__)) == len(tridet.__all__)


@pytest.mark.parametrize(
    ("module", "absent"), [("tridet", HEAVY + CLI_ONLY), ("tridet.cli.main", HEAVY)]
)
def test_imports_stay_light(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
