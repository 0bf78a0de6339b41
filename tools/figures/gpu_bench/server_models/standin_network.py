"""The serving graph in PyTorch: uint8 frames in, the K best boxes out, as docs/contract.md says.

The trunk (see gpu_bench/trunk.py) computes in FP16 on a GPU, both ends in FP32. On a GPU each batch
size is a CUDA graph, as in a TensorRT plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

SIDE = 640
CANDIDATES = 300
_STRIDES = (8, 16, 32)
_BINS = 16
_WARMUPS = 3

Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Network:
    """Boxes float32 [N, K, 4], scores float32 [N, K] and class ids int32 [N, K] of frames."""

    def __init__(self, trunk: Path, device: str) -> None:
        self.device = torch.device(device)
        if device == "cuda":
            # Of each convolution's algorithms; trying all takes minutes at a start.
            torch.backends.cudnn.benchmark_limit = 3
        self._type = torch.float16 if device == "cuda" else torch.float32
        network = torch.jit.load(trunk, map_location=self.device).to(self._type)
        self._trunk = network.to(memory_format=torch.channels_last)
        centres, strides = [], []
        for stride in _STRIDES:
            cells = torch.arange(SIDE // stride, device=self.device) + 0.5
            rows, columns = torch.meshgrid(cells, cells, indexing="ij")
            centres.append(torch.stack([columns.flatten(), rows.flatten()]) * stride)
            strides.append(torch.full((cells.numel() ** 2,), float(stride), device=self.device))
        self._centres, self._strides = torch.cat(centres, 1), torch.cat(strides)
        self._bins = torch.arange(_BINS, dtype=torch.float32, device=self.device)

    @torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is not followed
    def __call__(self, frames: torch.Tensor) -> Outputs:
        """Detect in uint8 [N, S, S, 3] BGR, on the network's device."""
        planes = frames.permute(0, 3, 1, 2).flip(1).to(self._type) / 255
        # Unoptimized: no compiling anew for each batch size, and a CUDA graph hides the rest.
        with torch.jit.optimized_execution(False):
            planes = planes.contiguous(memory_format=torch.channels_last)
            distributions, logits = self._trunk(planes)
        best, ids = logits.float().sigmoid().max(1)
        scores, anchors = best.topk(CANDIDATES, 1)
        # The box decode of the K best only, as in the serving graph.
        kept = distributions.gather(2, anchors[:, None].expand(-1, 4 * _BINS, -1)).float()
        parts = kept.unflatten(1, (4, _BINS)).softmax(2)
        reach = (parts * self._bins[:, None]).sum(2) * self._strides[anchors][:, None]
        centre = self._centres[:, anchors].transpose(0, 1)
        boxes = torch.cat([centre - reach[:, :2], centre + reach[:, 2:]], 1).transpose(1, 2)
        return boxes.contiguous(), scores, ids.gather(1, anchors).int()


class Idle:
    """A detector that costs nothing and finds nothing: what the pipeline does by itself."""

    device = torch.device("cpu")

    def __call__(self, frames: torch.Tensor) -> Outputs:
        """Return outputs of zeros for uint8 [N, S, S, 3]."""
        shape = (len(frames), CANDIDATES)
        ids = torch.zeros(shape, dtype=torch.int32)
        return torch.zeros((*shape, 4)), torch.zeros(shape), ids


def network_from(trunk: Path, device: str) -> Network | Idle:
    """Return the network on ``cuda`` or ``cpu``, or with ``none`` the idle one."""
    return Idle() if device == "none" else Network(trunk, device)


class Graph:
    """One batch size: on a GPU a CUDA graph, and pinned memory for its results.

    ``results`` belong to one call at a time.
    """

    def __init__(self, network: Network | Idle, batch: int) -> None:
        self._network = network
        self._graph = None
        if network.device.type != "cuda":
            return
        self._stream = torch.cuda.Stream()
        shape = (batch, SIDE, SIDE, 3)
        self.frames = torch.zeros(shape, dtype=torch.uint8, device=network.device)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARMUPS):
                self._outputs = network(self.frames)
            self._stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream):
                self._outputs = network(self.frames)
        self._graph = graph
        self._started, self._uploaded = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # It blocks: spinning would take a core from the steps around.
        self._done = torch.cuda.Event(blocking=True)
        self.results = tuple(torch.empty_like(o, device="cpu").pin_memory() for o in self._outputs)

    def run(self, parts: Sequence[torch.Tensor]) -> tuple[Outputs, float]:
        """Detect in frames uint8 [n, S, S, 3], together at most the batch size.

        Returns the outputs, and the seconds of the upload. Memory that is pinned is uploaded as it
        lies; CUDA copies other memory first.
        """
        if self._graph is None:
            return self._network(torch.cat(list(parts))), 0.0
        with torch.cuda.stream(self._stream):
            self._started.record()
            start = 0
            for part in parts:
                self.frames[start : start + len(part)].copy_(part, non_blocking=True)
                start += len(part)
            self._uploaded.record()
            self._graph.replay()
            for ours, theirs in zip(self.results, self._outputs, strict=True):
                ours.copy_(theirs, non_blocking=True)
            self._done.record()
        self._done.synchronize()
        return self.results, self._started.elapsed_time(self._uploaded) / 1e3

    def compute(self) -> None:
        """Detect in what is on the device already, and leave the outputs there."""
        if self._graph is not None:
            with torch.cuda.stream(self._stream):
                self._graph.replay()

    def wait(self) -> None:
        """Wait for all of it."""
        if self._graph is not None:
            self._stream.synchronize()
