"""Run tools/train.py even where torchvision's compiled operators do not load.

Ultralytics wants them for nothing but NMS, of which it has one of its own in plain PyTorch.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import train


def main() -> int:
    """Run it with this process's arguments; return its exit code."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        from ultralytics.utils.nms import TorchNMS

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        stand_in = ModuleType("torchvision")
        stand_in.ops = SimpleNamespace(nms=TorchNMS.nms)  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in
    return train.main()


if __name__ == "__main__":
    sys.exit(main())
