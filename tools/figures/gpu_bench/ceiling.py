"""The detector alone: what it does where nothing is around it. A process of its own, see ``main``.

    python tools/figures/gpu_bench/ceiling.py TRUNK DEVICE SECONDS MAX_BATCH

prints JSON: the machine's copies in GB/s, and for each batch size the images a second with the
frames on the device already, and uploaded from pinned memory first.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "server_models"))

import torch
from standin_network import SIDE, Graph, network_from

_BATCHES = (1, 2, 4, 8, 16, 32)
_COPY_BYTES = 256 * 2**20


def _rate(run: Callable[[], object], wait: Callable[[], None], seconds: float) -> float:
    """Return calls a second, after a warm-up."""
    for _ in range(3):
        run()
    wait()
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run()
        calls += 1
        # A queue of launches without end would be timed by its length.
        if calls % 8 == 0:
            wait()
    wait()
    return calls / (time.perf_counter() - started)


def _copies(device: str, seconds: float) -> dict[str, float]:
    """GB/s of a memory copy (one thread; bytes copied, not read and written) and of an upload."""
    torch.set_num_threads(1)
    on_gpu = device == "cuda"
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, pin_memory=on_gpu)
    target = torch.empty(_COPY_BYTES, dtype=torch.uint8)
    gb = _COPY_BYTES / 1e9
    found = {"memcpy": gb * _rate(lambda: target.copy_(source), lambda: None, seconds)}
    if on_gpu:
        there = torch.empty(_COPY_BYTES, dtype=torch.uint8, device="cuda")
        upload = _rate(
            lambda: there.copy_(source, non_blocking=True), torch.cuda.synchronize, seconds
        )
        found["upload"] = gb * upload
    return found


def measure(trunk: Path, device: str, seconds: float, max_batch: int) -> dict[str, object]:
    """Run each batch size up to the largest both ways, ``seconds`` each."""
    found: dict[str, object] = {"gb_per_s": _copies(device, seconds)}
    torch.set_num_threads(4)
    network = network_from(trunk, device)
    on_gpu = device == "cuda"
    if on_gpu:
        found["gpu"] = torch.cuda.get_device_name()
    found["torch"] = torch.__version__
    rows = []
    for batch in (size for size in _BATCHES if size <= max_batch):
        graph = Graph(network, batch)
        frames = torch.zeros((batch, SIDE, SIDE, 3), dtype=torch.uint8, pin_memory=on_gpu)

        def uploaded(graph: Graph = graph, frames: torch.Tensor = frames) -> None:
            graph.run([frames])

        rate = batch * _rate(uploaded, graph.wait, seconds)
        compute = batch * _rate(graph.compute, graph.wait, seconds) if on_gpu else rate
        rows.append({"batch": batch, "compute": compute, "upload": rate})
        del graph
    return {**found, "rows": rows}


def main() -> None:
    """Print the measurement; on a GPU one process, whose memory is given back at its end."""
    trunk, device, seconds, max_batch = sys.argv[1:]
    print(json.dumps(measure(Path(trunk), device, float(seconds), int(max_batch))))


if __name__ == "__main__":
    main()
