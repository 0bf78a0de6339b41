"""Make the stand-in's network: a YOLO's layers as TorchScript, which needs no Ultralytics.

python tools/figures/gpu_bench/trunk.py models/pcb/pcb.pt trunk.pt
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics import YOLO

_SIDE = 640


class Trunk(nn.Module):  # type: ignore[misc]  # torch is not followed
    """All layers up to the raw head: what a plan computes in FP16."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute box distributions [N, 64, 8400] and class logits [N, C, 8400].

        ``planes`` is [N, 3, 640, 640] RGB, 0 to 1.
        """
        raw = self.model(planes)
        return raw["boxes"], raw["scores"]


def trace(weights: Path, target: Path) -> None:
    """Trace the network of an Ultralytics checkpoint, in half precision and for any batch size."""
    model = YOLO(weights).model.float().eval().fuse()
    # In training mode the head hands out its raw tensors; it holds no layer that acts otherwise.
    model.model[-1].training = True
    # A trace keeps this switch of each convolution.
    torch.backends.cudnn.benchmark = True
    with torch.no_grad():
        traced = torch.jit.trace(Trunk(model), torch.zeros(2, 3, _SIDE, _SIDE), check_trace=False)
    traced.half().save(target)


if __name__ == "__main__":
    trace(Path(sys.argv[1]), Path(sys.argv[2]))
