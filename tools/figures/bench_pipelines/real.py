"""The real detector: how much of bare ONNX Runtime's speed is left at the far end of the server.

Bare means ``session.run`` in a loop, in a process of its own with the machine to itself: the same
serving graph, the same number of threads, the letterboxed images ready in memory; idle threads spin
or sleep, whichever is faster. The pipeline shares the same cores with its client, gRPC, preprocess
and NMS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import onnxruntime
from tridet.processing import contract
from tridet.processing.letterbox import letterbox
from tridet_bench.latency import percentile
from tridet_build.errors import BuildError
from tridet_build.manifest.manifest import Manifest, load_manifests
from tridet_build.repository import configs
from tridet_build.repository.render import SERVING_GRAPH, VERSION, write

from bench_pipelines.clients import tridet_client
from bench_pipelines.errors import BenchError
from bench_pipelines.frames import frames as frames_of
from bench_pipelines.measure import Case, MeasuredServer, Record
from bench_pipelines.summary import RealSummary, ratio_of_rounds
from bench_pipelines.triton_stats import total
from bench_pipelines.worker import Worker

PIPELINE = "pipeline"


class BareClient:
    """ONNX Runtime alone; one call is one ``run`` with a batch of images that are ready."""

    def __init__(
        self, _url: str, *, graph: Path, threads: int, size: int, batch: int, spin: bool
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self._images = np.full((batch, size, size, 3), contract.PAD_VALUE, np.uint8)
        for frame, canvas in zip(frames_of("1080p") * batch, self._images, strict=False):
            letterbox(frame, canvas)

    def __call__(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        del frame  # the burst's; the batch was made before the clock started
        outputs = [contract.BOXES, contract.SCORES, contract.CLASS_IDS]
        boxes, *_ = self._session.run(outputs, {contract.IMAGES: self._images})
        first: npt.NDArray[np.float32] = boxes[0]
        return first

    def close(self) -> None:
        """Nothing to disconnect."""


def write_real_repository(model: Path, root: Path) -> Manifest:
    """Write the repository of the detector in the folder ``model``, and return its manifest.

    Raises:
        BenchError: no such detector, or it cannot be wrapped.
    """
    try:
        (manifest,) = load_manifests([model])
        write([manifest], root)
    except BuildError as error:
        raise BenchError(str(error)) from None
    return manifest


def run_real(
    server: MeasuredServer,
    manifest: Manifest,
    root: Path,
    concurrencies: Sequence[int],
    pictures: Path,
    *,
    size: str,
    rounds: int,
    frames: int,
    progress: Callable[[Case], None],
) -> list[RealSummary]:
    """Measure the pipeline at each concurrency, and bare ONNX Runtime at each as its batch size.

    In a round each concurrency's two measurements follow one another. ``frames`` is images a burst.
    """
    detector = configs.detector_name(manifest.name)
    batches = sorted({number for number in concurrencies if number <= manifest.batch.max})
    if not batches:
        raise BenchError(
            f"--real-concurrency: expected one of at most {manifest.batch.max}, the largest batch "
            f"of {manifest.name}, got {', '.join(map(str, concurrencies))}"
        )
    bare = partial(
        BareClient,
        graph=root / detector / VERSION / SERVING_GRAPH,
        threads=manifest.threads,
        size=manifest.input_size.opt,
    )
    records = {number: Record() for number in concurrencies}
    setups = [(batch, spin) for batch in batches for spin in (False, True)]
    bare_fps: dict[tuple[int, bool], list[float]] = {setup: [] for setup in setups}
    with ExitStack() as stack:
        pipeline = stack.enter_context(
            Worker(PIPELINE, tridet_client(manifest.name), server.url, pictures)
        )
        bares = {
            setup: stack.enter_context(
                Worker(
                    f"bare ONNX Runtime, batch {setup[0]}",
                    partial(bare, batch=setup[0], spin=setup[1]),
                    "",
                    pictures,
                )
            )
            for setup in setups
        }
        for _ in range(rounds):
            for number in concurrencies:
                for setup in setups:
                    if setup[0] == number:
                        progress(Case(f"bare, batch {number}", size, 1))
                        bares[setup].burst(size, 1, 2)
                        burst = bares[setup].burst(size, 1, max(1, frames // number))
                        images = number * len(burst.latencies_s)
                        bare_fps[setup].append(images / burst.wall_s)
                progress(Case(PIPELINE, size, number))
                server.measure(pipeline, Case(PIPELINE, size, number), frames, records[number])
    best = {
        batch: max((bare_fps[batch, spin] for spin in (False, True)), key=median)
        for batch in batches
    }
    return [_row(number, records[number], best, detector) for number in concurrencies]


def _row(
    concurrency: int, record: Record, bare_fps: dict[int, list[float]], detector: str
) -> RealSummary:
    mean_batch = total(record.steps)[detector].mean_batch
    # The batch that bare ONNX Runtime is given is the one that the server came to form.
    batch = min(bare_fps, key=lambda size: abs(size - mean_batch))
    fps = [len(burst.latencies_s) / burst.wall_s for burst in record.bursts]
    latencies_ms = [s * 1000 for burst in record.bursts for s in burst.latencies_s]
    return RealSummary(
        concurrency=concurrency,
        pipeline_fps=median(fps),
        bare_fps=median(bare_fps[batch]),
        bare_batch=batch,
        ratio=ratio_of_rounds(fps, bare_fps[batch]),
        mean_batch=mean_batch,
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
    )
