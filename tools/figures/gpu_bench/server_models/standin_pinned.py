"""Pin the memory in which frames reach a Python step, so that they are uploaded as they lie.

Triton's Python backend hands tensors over in a shared memory that it maps once (and again when it
grows). Registered with CUDA, a frame needs no copy into pinned memory before its upload.
"""

from __future__ import annotations

from pathlib import Path

import torch


class PinnedMappings:
    """The mappings of this process that are registered with CUDA."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def pin(self, tensor: torch.Tensor) -> None:
        """Register the mapping that the tensor lies in, unless it is.

        Raises:
            RuntimeError: CUDA refuses it.
        """
        address = tensor.data_ptr()
        if any(start <= address < end for start, end in self._ranges):
            return
        start, end = _mapping_of(address)
        torch.cuda.check_error(torch.cuda.cudart().cudaHostRegister(start, end - start, 0))
        self._ranges.append((start, end))


def _mapping_of(address: int) -> tuple[int, int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return start, end
    raise RuntimeError(f"no mapping holds address {address:#x}")
