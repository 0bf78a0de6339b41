"""Which TensorRT is here, and plans that it loads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tridet_build.errors import PlanError
from tridet_build.plan import file as plan_file
from tridet_build.plan import layers as plan_layers
from tridet_build.plan import progress as plan_progress

_SILENT: Final = 1000  # above every severity of Polygraphy's logger
# Since which TensorRT the parser knows which opset, as its release notes and the operators.md of
# onnx-tensorrt have it; what lies between two of them is taken for the older.
_OPSETS: Final = (((11, 5), 25), ((10, 15), 24), ((10, 6), 22), ((10, 0), 20))


def use_rtx() -> None:
    """Compile with TensorRT for RTX from here on, in this process and its children.

    Raises:
        PlanError: Polygraphy's backend was imported before, for TensorRT.
    """
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"
    config = sys.modules.get("polygraphy.config")
    if config is None or config.USE_TENSORRT_RTX:
        return
    if "polygraphy.backend.trt" in sys.modules:
        raise PlanError("TensorRT is in use already; start a new process for TensorRT for RTX")
    # ModelOpt imports Polygraphy too, and the environment was read then.
    config.USE_TENSORRT_RTX = True  # type: ignore[attr-defined]


def tensorrt() -> tuple[Any, plan_file.Flavour]:
    """Import TensorRT as Polygraphy will: for RTX if the environment says so."""
    try:
        from polygraphy import config

        rtx = config.USE_TENSORRT_RTX
        if rtx:
            import tensorrt_rtx as trt
        else:
            import tensorrt as trt
    except ImportError as error:
        raise PlanError(
            f"a plan needs Polygraphy and TensorRT, found no {error.name}: "
            "pip install 'tridet-build[full]', and TensorRT as in NVIDIA's container "
            "(`docker compose run --rm builder`); to check without a GPU, "
            "pip install 'tridet-build[rtx]'"
        ) from None
    version = getattr(trt, "__version__", "0")
    if not rtx and int(version.partition(".")[0]) < 10:
        raise PlanError(f"expected TensorRT 10 or newer, found {version}")
    return trt, "tensorrt-rtx" if rtx else "tensorrt"


def newest_opset(flavour: plan_file.Flavour, version: str) -> int:
    """Return the newest ONNX opset that the parser knows; it takes any without a word.

    TensorRT for RTX has versions of its own and no such list: it only checks, and is not held back.
    """
    if flavour == "tensorrt-rtx":
        return _OPSETS[0][1]
    major, minor = (int(part) for part in version.split(".")[:2])
    known = (opset for since, opset in _OPSETS if (major, minor) >= since)
    return next(known, _OPSETS[-1][1])


@contextmanager
def quiet(*, verbose: bool) -> Iterator[None]:
    """Keep Polygraphy and TensorRT off standard output unless asked for."""
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.EXTRA_VERBOSE if verbose else _SILENT):
        yield


def engine_layers(trt: Any, engine: Any) -> tuple[plan_layers.Histogram, bool]:
    """Count the layers of a loaded engine per precision; see :func:`plan_layers.of_engine`."""
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return plan_layers.of_engine(text)


def load(plan: Path) -> Any:
    """Deserialize a plan.

    Raises:
        PlanError: not a plan, or TensorRT cannot load it here.
    """
    trt, flavour = tensorrt()
    found = plan_file.identify(plan)
    if found.kind != flavour:
        raise PlanError(f"{plan}: {found.problem or f'expected a plan of {flavour}'}")
    return load_bytes(trt, plan.read_bytes(), plan)


def load_bytes(trt: Any, content: bytes, name: Path) -> Any:
    """Deserialize a plan's bytes; ``name`` is for the error."""
    from polygraphy.backend.trt import EngineFromBytes, get_trt_logger
    from polygraphy.exception import PolygraphyException

    errors = plan_progress.recorder(trt)
    with quiet(verbose=False):
        try:
            runtime = trt.Runtime(get_trt_logger())
            runtime.error_recorder = errors
            engine = EngineFromBytes(content, runtime=runtime)()
        except (PolygraphyException, RuntimeError, TypeError):
            inside = ".".join(map(str, content[24:28]))
            reason = f"{plan_progress.explained(errors.errors)}; " if errors.errors else ""
            raise PlanError(
                f"{name}: TensorRT {trt.__version__} cannot load it (built with {inside}): "
                f"{reason}a plan runs only on the version and kind of GPU that it was built with"
            ) from None
    runtime.error_recorder = None
    return engine
