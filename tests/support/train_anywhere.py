"""Run tools/train.py even where torchvision's compiled operators do not load.

Ultralytics wants them for nothing but NMS, of which it has one of its own in plain PyTorch.
"""

from __future__ import annotations

import program

import sys
from types import ModuleType, SimpleNamespace
from typing import NoReturn

import train


def main() -> NoReturn:
    """Run it with this process's arguments."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        from ultralytics.utils.nms import TorchNMS

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        stand_in = ModuleType("torchvision")
        stand_in.ops = SimpleNamespace(nms=TorchNMS.nms)  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in
    program.run(train.main, "train.py", train.TrainError)


if __name__ == "__main__":
    main()
