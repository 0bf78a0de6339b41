"""What a built plan is and how fast it runs, on a machine that has TensorRT and its GPU."""

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table
from tridet.processing import contract

from tridet_build.errors import PlanError, first_line
from tridet_build.plan import layers as plan_layers
from tridet_build.plan.runtime import engine_layers, load, tensorrt

Shape = tuple[int, ...]

_RELAXED: Final = 2  # cudaStreamCaptureModeRelaxed


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: of the tensor.
        is_input: else an output.
        kind: element type, in TensorRT's words.
        shape: with -1 where dynamic.
        profiles: smallest, best and largest shape under each profile; empty for outputs.
    """

    name: str
    is_input: bool
    kind: str
    shape: Shape
    profiles: tuple[tuple[Shape, Shape, Shape], ...] = ()


@dataclass(frozen=True)
class EngineInfo:
    """What a plan holds.

    Attributes:
        version: of TensorRT.
        tensors: inputs, then outputs.
        layers: after fusion.
        memory_bytes: scratch memory of one execution context.
        precisions: layers per precision, those with weights if they are known.
    """

    version: str
    tensors: tuple[TensorInfo, ...]
    layers: int
    memory_bytes: int
    precisions: plan_layers.Histogram

    def table(self) -> Table:
        """Show it to a person."""
        table = Table("tensor", "", "type", "shape", "min / opt / max")
        for tensor in self.tensors:
            spans = "; ".join(" / ".join(map(str, map(list, p))) for p in tensor.profiles)
            direction = "in" if tensor.is_input else "out"
            table.add_row(tensor.name, direction, tensor.kind, str(list(tensor.shape)), spans)
        table.caption = (
            f"TensorRT {self.version}, {self.layers} layers "
            f"({plan_layers.describe(self.precisions)}), "
            f"{self.memory_bytes / (1 << 20):.1f} MiB of scratch memory"
        )
        return table


@dataclass(frozen=True)
class Speed:
    """How long one batch takes on the GPU, copies left out.

    Attributes:
        batch: images of one call.
        cuda_graph: whether the call was captured and replayed, as Triton does.
        latency_p50_ms, latency_p95_ms: of one call.
        images_per_s: with calls queued back to back.
    """

    batch: int
    cuda_graph: bool
    latency_p50_ms: float
    latency_p95_ms: float
    images_per_s: float


def engine_info(plan: Path) -> EngineInfo:
    """Read a plan.

    Raises:
        PlanError: not a plan, or TensorRT cannot load it here.
    """
    trt = tensorrt()[0]
    engine = load(plan)
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    tensors = sorted((_tensor(trt, engine, name) for name in names), key=lambda t: not t.is_input)
    memory = getattr(engine, "device_memory_size_v2", None)
    return EngineInfo(
        version=str(trt.__version__),
        tensors=tuple(tensors),
        layers=engine.num_layers,
        memory_bytes=int(engine.device_memory_size if memory is None else memory),
        precisions=engine_layers(trt, engine)[0],
    )


def measure(
    plan: Path,
    batches: Sequence[int],
    *,
    seconds: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Speed]:
    """Time a plan at each batch size, with and without CUDA graph, on random frames.

    Args:
        plan: with the input ``images`` UINT8 [N, H, W, 3].
        batches: sizes within its profile.
        seconds: to measure each for, after a tenth of that to warm up.
        clock: in seconds.

    Raises:
        PlanError: TensorRT cannot load or run it here.
    """
    from polygraphy import cuda
    from polygraphy.exception import PolygraphyException

    engine = load(plan)
    best = engine.get_tensor_profile_shape(contract.IMAGES, 0)[1]
    speeds = []
    try:
        with cuda.Stream() as stream:
            for batch in batches:
                shape = (batch, *tuple(best)[1:])
                with _bound_context(engine, shape) as context:
                    _enqueue(context, stream.ptr)  # TensorRT allocates at the first call
                    stream.synchronize()

                    def plain(context: Any = context) -> None:
                        _enqueue(context, stream.ptr)

                    samples = _timed(plain, stream.synchronize, seconds, clock)
                    speeds.append(speed(batch, False, *samples))
                    with _captured(plain, stream.ptr) as replay:
                        samples = _timed(replay, stream.synchronize, seconds, clock)
                    speeds.append(speed(batch, True, *samples))
    except PolygraphyException as error:
        reason = first_line(error)
        raise PlanError(f"{plan}: cannot be run: {reason}") from None
    return speeds


def speed(batch: int, cuda_graph: bool, latencies_s: Sequence[float], calls_per_s: float) -> Speed:
    """Summarize the latencies of single calls and the rate of queued ones."""
    p50, p95 = np.percentile(latencies_s, [50, 95]) * 1000
    return Speed(batch, cuda_graph, float(p50), float(p95), calls_per_s * batch)


def speed_table(speeds: Sequence[Speed]) -> Table:
    """Show figures to a person."""
    table = Table("batch", "CUDA graph", "p50 ms", "p95 ms", "images/s")
    for row in speeds:
        table.add_row(
            str(row.batch),
            "on" if row.cuda_graph else "off",
            f"{row.latency_p50_ms:.2f}",
            f"{row.latency_p95_ms:.2f}",
            f"{row.images_per_s:,.0f}",
        )
    return table


def _tensor(trt: Any, engine: Any, name: str) -> TensorInfo:
    is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    profiles = []
    for index in range(engine.num_optimization_profiles if is_input else 0):
        low, best, high = (tuple(s) for s in engine.get_tensor_profile_shape(name, index))
        profiles.append((low, best, high))
    kind = engine.get_tensor_dtype(name).name
    return TensorInfo(name, is_input, kind, tuple(engine.get_tensor_shape(name)), tuple(profiles))


@contextmanager
def _bound_context(engine: Any, shape: Shape) -> Iterator[Any]:
    """Make a context with random frames of ``shape`` and room for the outputs on the GPU."""
    from polygraphy import cuda

    context = engine.create_execution_context()
    if context is None or not context.set_input_shape(contract.IMAGES, shape):
        raise PlanError(f"the plan does not take {contract.IMAGES} {list(shape)}")
    buffers = []
    try:
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            count = int(np.prod(tuple(context.get_tensor_shape(name))))
            nbytes = count * engine.get_tensor_dtype(name).itemsize
            buffer = cuda.DeviceArray.raw((nbytes,))
            buffers.append(buffer)
            if name == contract.IMAGES:
                frames = np.random.default_rng(0).integers(0, 256, nbytes, dtype=np.uint8)
                buffer.copy_from(frames)
            context.set_tensor_address(name, buffer.ptr)
        yield context
    finally:
        for buffer in buffers:
            buffer.free()


def _enqueue(context: Any, stream: int) -> None:
    if not context.execute_async_v3(stream):
        raise PlanError("the plan cannot be run: TensorRT refused the call")


def _timed(
    call: Callable[[], None],
    synchronize: Callable[[], None],
    seconds: float,
    clock: Callable[[], float],
) -> tuple[list[float], float]:
    """Return the latencies of single calls and the rate of calls queued back to back."""
    end = clock() + seconds / 10
    while clock() < end:
        call()
        synchronize()
    latencies = []
    end = clock() + seconds / 2
    while clock() < end:
        start = clock()
        call()
        synchronize()
        latencies.append(clock() - start)
    calls, start = 0, clock()
    while clock() < start + seconds / 2:
        for _ in range(10):  # enough in the queue that the GPU never waits for Python
            call()
        calls += 10
        synchronize()
    return latencies, calls / (clock() - start)


@contextmanager
def _captured(call: Callable[[], None], stream: int) -> Iterator[Callable[[], None]]:
    """Capture what ``call`` enqueues as a CUDA graph, and yield what replays it."""
    from polygraphy import cuda

    wrapper = cuda.wrapper()
    runtime, check = wrapper.handle, wrapper.check
    pointer = ctypes.c_void_p(stream)
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    check(runtime.cudaStreamBeginCapture(pointer, ctypes.c_int(_RELAXED)))
    call()
    check(runtime.cudaStreamEndCapture(pointer, ctypes.byref(graph)))
    check(
        runtime.cudaGraphInstantiateWithFlags(
            ctypes.byref(executable), graph, ctypes.c_ulonglong(0)
        )
    )
    try:
        yield lambda: check(runtime.cudaGraphLaunch(executable, pointer))
    finally:
        runtime.cudaGraphExecDestroy(executable)
        runtime.cudaGraphDestroy(graph)
