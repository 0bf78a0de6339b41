"""Compile a serving graph into a TensorRT plan, with Polygraphy.

One path for TensorRT 10 and 11, and for TensorRT for RTX (POLYGRAPHY_USE_TENSORRT_RTX=1), which
compiles without a GPU. Networks are strongly typed: the ONNX alone says what computes in which
precision, and what was built is compared with what was asked.
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Any, Final

import onnx
from rich.console import Console
from tridet.processing import contract

from tridet_build.errors import PlanError, first_line
from tridet_build.onnx.file import inputs_of, opset_of, read_onnx
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import machine
from tridet_build.plan import progress as plan_progress
from tridet_build.plan import runtime as plan_runtime
from tridet_build.plan.settings import PlanReport, PlanSettings

_MIB: Final = 1 << 20


def build_plan(
    graph: Path,
    out: Path | None,
    settings: PlanSettings,
    *,
    console: Console | None = None,
    verbose: bool = False,
) -> PlanReport:
    """Compile a serving graph and write the plan in one step.

    Args:
        graph: ONNX with the input ``images`` UINT8 [N, H, W, 3].
        out: where the plan goes; None compiles and keeps nothing.
        settings: how.
        console: shows progress; None is silent.
        verbose: let TensorRT's own log through.

    Raises:
        OnnxError: not an ONNX file.
        PlanError: no TensorRT here, an ONNX that it refuses (names the node), no memory, a full
            disk, or a precision that is not the one asked for. An older plan stays as it was.
        KeyboardInterrupt: Ctrl-C; the same holds.
    """
    opset = _check_graph(graph, settings)
    trt, flavour = plan_runtime.tensorrt()
    newest = plan_runtime.newest_opset(flavour, str(trt.__version__))
    if opset > newest:
        raise PlanError(
            f"{graph}: expected opset {newest} or older, as TensorRT {trt.__version__} parses, got "
            f"{opset}; export it with --opset {newest}"
        )
    if settings.dla and flavour == "tensorrt-rtx":
        raise PlanError("dla: TensorRT for RTX has none")
    started = time.monotonic()
    with (
        plan_runtime.quiet(verbose=verbose),
        plan_progress.interruptible() as interrupted,
        plan_progress.Report(graph.stem, console) as report,
    ):
        builder, network, parser = _parse(trt, graph)
        asked = plan_layers.of_network(network)
        problem = plan_layers.mismatch(settings.precision, asked, settings.share)
        if problem:
            raise PlanError(f"{graph}: precision: {problem}")
        layers = network.num_layers
        monitor = plan_progress.monitor(trt, report, interrupted)
        content = _compile(trt, graph, builder, network, settings, monitor, interrupted)
        del parser  # the network lives on its weights until here
    seconds = time.monotonic() - started
    built, weighted = _engine_layers(trt, flavour, content, graph)
    if built or flavour == "tensorrt":
        # Among all layers, those of the FP32 ends count too: one in the asked precision must do.
        share = settings.share if weighted else 1 / max(1, sum(built.values()))
        problem = plan_layers.mismatch(settings.precision, built, share)
        if problem:
            raise PlanError(f"{graph}: precision: the built engine differs: {problem}")
    if out is not None:
        _save(out, content)
    found = machine.gpus()
    return PlanReport(
        plan=out,
        seconds=seconds,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        flavour=flavour,
        version=str(trt.__version__),
        gpu=found[0] if found else None,
        asked=settings.precision,
        achieved=plan_layers.achieved(built if weighted else asked),
        network=asked,
        engine=built,
        layers=layers,
        profile=settings.profile,
        settings=settings,
    )


def _check_graph(graph: Path, settings: PlanSettings) -> int:
    """Refuse what TensorRT's parser takes without a word: text, an unknown opset, other inputs.

    Returns:
        The opset.
    """
    model = read_onnx(graph)
    opset, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if opset > newest:
        raise PlanError(
            f"{graph}: expected opset {newest} or older (of onnx {onnx.__version__}), got "
            f"{opset}; export it with an older one"
        )
    inputs = {tensor.name: tensor.type.tensor_type for tensor in inputs_of(model)}
    only = inputs.get(contract.IMAGES) if len(inputs) == 1 else None
    if only is None or only.elem_type != onnx.TensorProto.UINT8 or not _fits(only, settings):
        smallest, _, largest = settings.profile
        found = ", ".join(f"{name} {_axes(kind)}" for name, kind in inputs.items())
        raise PlanError(
            f"{graph}: expected a serving graph with {contract.IMAGES} UINT8 from "
            f"{list(smallest)} to {list(largest)}, got {found}"
        )
    return opset


def _fits(kind: Any, settings: PlanSettings) -> bool:
    """Tell whether every axis is dynamic, or fixed at the one value that the profile wants."""
    axes = [axis.dim_value for axis in kind.shape.dim]
    wanted = list(zip(*settings.profile, strict=True))
    return len(axes) == len(wanted) and all(
        not axis or {axis} == set(values) for axis, values in zip(axes, wanted, strict=True)
    )


def _parse(trt: Any, graph: Path) -> tuple[Any, Any, Any]:
    from polygraphy.backend.trt import NetworkFromOnnxPath
    from polygraphy.exception import PolygraphyException

    try:
        builder, network, parser = NetworkFromOnnxPath(str(graph), strongly_typed=_has_flag(trt))()
    except PolygraphyException as error:
        reason = _refusal(trt, graph) or first_line(error)
        raise PlanError(f"{graph}: TensorRT {trt.__version__} refuses it: {reason}") from None
    except (TypeError, RuntimeError):  # no builder: a null pointer in the bindings' words
        raise PlanError(
            f"TensorRT {trt.__version__} builds on the GPU that will serve, found none that it can "
            "use; `make check-plans` compiles with TensorRT for RTX, which needs none"
        ) from None
    return builder, network, parser


def _has_flag(trt: Any) -> bool:
    """TensorRT 11 knows strongly typed networks only, and may have dropped the flag."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _refusal(trt: Any, graph: Path) -> str:
    """Parse once more to name each node that the parser refuses, with its operator."""
    from polygraphy.backend.trt import create_network, util

    _, network = create_network(strongly_typed=_has_flag(trt))
    parser = trt.OnnxParser(network, util.get_trt_logger())
    parser.parse_from_file(str(graph))
    texts: dict[str, None] = {}
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        reason = "".join(error.desc().split("\n")[:1])
        if error.node_operator():
            code = error.code().name.lower().replace("_", " ")
            where = error.node_name() or f"node {error.node()}"
            texts[f"operator {error.node_operator()} ({where}): {code}: {reason}"] = None
        else:
            texts[reason] = None
    return "; ".join(texts)


def _compile(
    trt: Any,
    graph: Path,
    builder: Any,
    network: Any,
    settings: PlanSettings,
    monitor: Any,
    interrupted: plan_progress.Interrupted,
) -> bytes:
    from polygraphy.backend.trt import CreateConfig, EngineBytesFromNetwork, Profile
    from polygraphy.exception import PolygraphyException

    if settings.dla and not getattr(builder, "num_DLA_cores", 0):
        raise PlanError("dla: asked for, but this machine has no Deep Learning Accelerator")
    smallest, best, largest = settings.profile
    cache = settings.timing_cache
    limits = {}
    if settings.workspace_mib is not None:
        limits[trt.MemoryPoolType.WORKSPACE] = settings.workspace_mib * _MIB
    hardware = None
    if settings.hardware != "none":
        hardware = getattr(trt.HardwareCompatibilityLevel, settings.hardware.upper(), None)
        if hardware is None:
            raise PlanError(f"hardware: TensorRT {trt.__version__} has no {settings.hardware}")
    errors = plan_progress.recorder(trt)
    builder.error_recorder = errors
    try:
        config = CreateConfig(
            profiles=[Profile().add(contract.IMAGES, smallest, best, largest)],
            memory_pool_limits=limits,
            builder_optimization_level=settings.optimization_level,
            load_timing_cache=str(cache) if cache and cache.exists() else None,
            hardware_compatibility_level=hardware,
            version_compatible=settings.version_compatible,
            profiling_verbosity=trt.ProfilingVerbosity.DETAILED,
            progress_monitor=monitor,
            tf32=settings.tf32,
            use_dla=settings.dla,
            allow_gpu_fallback=settings.dla,
        )
        save = str(cache) if cache else None
        engine = EngineBytesFromNetwork((builder, network), config, save_timing_cache=save)()
        return bytes(engine)
    except (PolygraphyException, RuntimeError, OSError, MemoryError) as error:
        if interrupted():
            raise KeyboardInterrupt from None
        reason = plan_progress.explained(errors.errors or [first_line(error)])
        raise PlanError(f"{graph}: TensorRT {trt.__version__} cannot build it: {reason}") from None
    finally:
        builder.error_recorder = None


def _engine_layers(
    trt: Any, flavour: str, content: bytes, graph: Path
) -> tuple[plan_layers.Histogram, bool]:
    """Count the built layers per precision; nothing where no GPU can load the engine."""
    try:
        return plan_runtime.engine_layers(trt, plan_runtime.load_bytes(trt, content, graph))
    except PlanError:
        if flavour == "tensorrt-rtx":
            return {}, False  # it compiles without a GPU, and for GPUs other than those here
        raise


def _save(out: Path, content: bytes) -> None:
    """Write beside the old plan with Polygraphy, then take its place in one step."""
    from polygraphy.backend.common import SaveBytes
    from polygraphy.exception import PolygraphyException

    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        SaveBytes(content, str(temporary))()
        temporary.chmod(0o644)
        temporary.replace(out)
    except (OSError, PolygraphyException) as error:
        raise PlanError(f"{out}: cannot be written: {first_line(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _axes(kind: Any) -> str:
    name = onnx.TensorProto.DataType.Name(kind.elem_type)
    axes = [str(axis.dim_value or axis.dim_param or "?") for axis in kind.shape.dim]
    return f"{name} [{', '.join(axes)}]"
