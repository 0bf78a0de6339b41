"""The two ModelOpt tools, AutoCast and post-training quantization, as this package uses them.

Both come with PyTorch and are imported when they are called. They work on files, print a lot and
raise what their own tools raise; here they take models, keep quiet and raise one line.
"""

import contextlib
import importlib
import io
import re
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import onnx

from tridet_build.errors import INSTALL, BuildError, PrecisionError
from tridet_build.precision.calibration import Reader

Method: TypeAlias = Literal["entropy", "minmax"]


def autocast(
    model: onnx.ModelProto, folder: Path, keep: Sequence[str], samples: Path | None
) -> onnx.ModelProto:
    """Convert to FP16; inputs and outputs stay FP32.

    Args:
        model: FP32, with or without Q/DQ pairs.
        folder: for intermediate files.
        keep: names of the nodes that stay FP32.
        samples: folder of inputs as .npz; with it, nodes whose values get large on them stay FP32
            too.

    Raises:
        PrecisionError: AutoCast is missing or refuses the model.
    """
    tool = _import("modelopt.onnx.autocast")
    path = folder / "autocast.onnx"
    onnx.save(model, path)
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    with _quietly(), _refusals("AutoCast"):
        converted: onnx.ModelProto = tool.convert_to_mixed_precision(
            str(path),
            low_precision_type="fp16",
            # They are matched as prefixes.
            nodes_to_exclude=[f"{re.escape(name)}$" for name in keep],
            # Without real images the ranges would be those of random noise.
            **({"calibration_data": str(samples)} if samples else {"data_max": float("inf")}),
            keep_io_types=True,
            providers=["cpu"],
            opset=opset,
        )
    return converted


def quantize(
    model: onnx.ModelProto,
    folder: Path,
    reader: Reader,
    method: Method,
    exclude: Sequence[str],
    scales: Mapping[str, float] | None,
) -> onnx.ModelProto:
    """Put Q/DQ pairs around what TensorRT runs in INT8; everything else stays FP32.

    Args:
        model: FP32.
        folder: for intermediate files.
        reader: of the calibration images.
        method: how a tensor's range becomes its scale.
        exclude: names of the nodes that are not quantized.
        scales: of each tensor, if known from an earlier calibration.

    Raises:
        PrecisionError: ModelOpt is missing or refuses the model.
    """
    tool = _import("modelopt.onnx.quantization")
    _import("onnxruntime.quantization")
    source, out, ranges = folder / "detector.onnx", folder / "int8.onnx", folder / "scales.txt"
    onnx.save(model, source)
    if scales:
        ranges.write_text(_trt_cache(scales))
    with _quietly(), _refusals("quantization"):
        tool.quantize(
            str(source),
            quantize_mode="int8",
            calibration_data_reader=reader,
            calibration_method="entropy" if method == "entropy" else "max",
            calibration_cache_path=str(ranges) if scales else None,
            calibration_eps=["cpu"],
            nodes_to_exclude=[f"{re.escape(name)}$" for name in exclude],
            high_precision_dtype="fp32",  # AutoCast follows, and spares the decode tail
            output_path=str(out),
            log_level="ERROR",
        )
        return onnx.load(out)


def audible(progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Return a progress callback that is heard although ModelOpt is kept quiet."""
    out, err = sys.stdout, sys.stderr

    def report(done: int, total: int) -> None:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            progress(done, total)

    return report


def _trt_cache(scales: Mapping[str, float]) -> str:
    """Write scales as TensorRT's calibration caches have them, which ModelOpt reads."""
    lines = [f"{name}: {struct.pack('!f', scale).hex()}" for name, scale in scales.items()]
    return "\n".join(["TRT-8501-EntropyCalibration2", *lines, ""])


def _import(name: str) -> Any:
    try:
        with _quietly():
            return importlib.import_module(name)
    except ImportError as error:
        raise PrecisionError(
            f"this needs {error.name or name}, which is missing: {INSTALL}"
        ) from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the tools' own logs and progress bars off the terminal."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turn whatever ModelOpt raises into one line."""
    try:
        yield
    except (BuildError, MemoryError):
        raise
    except Exception as error:  # ModelOpt, ONNX Runtime and protobuf raise their own types
        lines = str(error).strip().splitlines() or ["no reason given"]
        raise PrecisionError(
            f"ModelOpt's {what} failed: {type(error).__name__}: {lines[0]}"
        ) from error
