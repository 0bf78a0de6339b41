"""Decide the precision of a detector in its ONNX, where TensorRT and ONNX Runtime both read it.

TensorRT networks are strongly typed: what a tensor is in the ONNX, it is in the plan. FP16 is set
by ModelOpt's AutoCast; INT8 by the Q/DQ pairs of ModelOpt's post-training quantization on real
images, with FP16 by AutoCast where there are none. Both take the plain detector, before it becomes
a serving graph.

The decode tail, from the last convolutions to the outputs, stays FP32: box coordinates reach the
input size in pixels, where FP16 steps by half a pixel.
"""

import contextlib
import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import onnx
from onnx import TensorProto

from tridet_build.datasets.images import MAX_PIXELS, Usable
from tridet_build.errors import PrecisionError, first_line
from tridet_build.files import write_atomically
from tridet_build.hashes import sha256_of
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.axes import fix_size, infer_shapes
from tridet_build.onnx.file import read_onnx
from tridet_build.precision import calibration
from tridet_build.precision.head import decode_tail, head_tail
from tridet_build.precision.modelopt import Method, audible, autocast, quantize
from tridet_build.precision.qdq import activation_scales, bridged
from tridet_build.precision.report import (
    HEAVY,
    Precision,
    PrecisionReport,
    check_achieved,
    computes_in,
    could_have,
    histograms,
)

__all__ = [
    "HEAD_TAIL",
    "Method",
    "Precision",
    "PrecisionError",
    "PrecisionReport",
    "excluded_nodes",
    "to_fp16",
    "to_int8",
]

Progress: TypeAlias = Callable[[int, int], None]

HEAD_TAIL: Final = "head-tail"
"""In ``exclude``: the last convolution of each branch of the head and everything behind it."""

_DECODE: Final = "decode tail, FP32"
_OUTSIZED: Final = "large values on real images, FP32"
_UNQUANTIZED: Final = "not quantized by ModelOpt's rules for TensorRT"
_TOOLS: Final = ("nvidia-modelopt", "onnx", "onnxruntime", "onnx-graphsurgeon", "torch", "numpy")
# What the scales hang on; OpenCV has several packages, and only the module knows its version.
_CALIBRATORS: Final = ("nvidia-modelopt", "onnxruntime", "numpy")
# How many images AutoCast looks at for values that are large for FP16.
_RANGE_SAMPLES: Final = 8


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)


def to_fp16(
    source: Path, out: Path, *, input_size: int | Sizes, images: Sequence[Path] = ()
) -> PrecisionReport:
    """Write the FP16 variant of a detector.

    Args:
        source: ONNX, FP32, one input [N, 3, S, S].
        out: the file to write.
        input_size: S, in pixels, at which dynamic height and width are fixed; or the sizes among
            which they stay dynamic.
        images: real images; with some, nodes whose values get large on them stay FP32 too.

    Raises:
        OnnxError: not an ONNX file.
        PrecisionError: not a detector in FP32, ModelOpt is missing or refuses it, or hardly
            anything became FP16; nothing has been written then.
    """
    clock = _Clock()
    sizes = Sizes.of(input_size)
    model = _load(source, sizes)
    kept = {_DECODE: sorted(decode_tail(model))}
    with tempfile.TemporaryDirectory() as folder, clock.step("autocast"):
        samples = None
        if images:
            samples = _save_samples(model, images, sizes.opt, Path(folder) / "samples")
        converted = autocast(model, Path(folder), kept[_DECODE], samples)
    converted = _finish(converted, model)
    outsized = {name for name, kind in computes_in(converted).items() if kind == "float32"}
    kept[_OUTSIZED] = sorted(outsized - set(kept[_DECODE]))
    candidates = could_have("fp16", model, kept[_DECODE])
    return _write("fp16", source, out, converted, kept, clock, candidates)


def to_int8(
    source: Path,
    out: Path,
    *,
    images: Sequence[Path],
    input_size: int | Sizes,
    samples: int = 500,
    method: Method = "entropy",
    exclude: Sequence[str] = (HEAD_TAIL,),
    cache: Path | None = None,
    minimum: int = calibration.MINIMUM,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> PrecisionReport:
    """Write the INT8 variant of a detector: Q/DQ pairs, and FP16 where there are none.

    Args:
        source: as :func:`to_fp16`.
        out: the file to write.
        images: real images, as the detector will see them; ``samples`` of them are used.
        input_size: as :func:`to_fp16`; the images are letterboxed to the usual size.
        samples: how many images to calibrate with.
        method: how a tensor's range becomes its scale.
        exclude: nodes not to quantize: regular expressions that match whole names, or HEAD_TAIL.
        cache: folder in which scales are kept for the next build with the same model, images and
            settings; None keeps none.
        minimum: fewest usable images to go on with.
        max_pixels: largest accepted image, width times height.
        progress: called with (images done, images in all) while calibrating.

    Raises:
        CalibrationError, ImagesError: too few images are asked for, or usable.
        OnnxError: as :func:`to_fp16`.
        PrecisionError: as :func:`to_fp16`; or ``exclude`` has a pattern that matches no node.
    """
    clock = _Clock()
    sizes = Sizes.of(input_size)
    model = _load(source, sizes)
    excluded = excluded_nodes(model, exclude)
    spared = {name for names in excluded.values() for name in names}
    tail = decode_tail(model)
    # What a pattern excludes is calibrated all the same, so that another one needs no new pass.
    never = sorted(head_tail(model) if HEAD_TAIL in exclude else tail)
    with clock.step("images"):
        chosen = calibration.choose(images, samples, minimum=minimum, max_pixels=max_pixels)
    settings = {
        "model": sha256_of(source),
        "images": sorted(chosen.sha256),
        "input_size": sizes.opt,
        "method": method,
        "exclude": never,
        "tools": {**_versions(_CALIBRATORS), "opencv": cv2.__version__},
    }
    scales = calibration.load_scales(cache, settings) if cache else None
    reader = calibration.Reader(
        # With the scales known, ModelOpt still wants one image to look at the shapes.
        chosen.images[:1] if scales else chosen.images,
        _only_input(model),
        sizes.opt,
        max_pixels=max_pixels,
        progress=None if scales or not progress else audible(progress),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with clock.step("quantize"):
            quantized = quantize(model, folder, reader, method, never, scales)
        if cache and scales is None:
            calibration.save_scales(cache, settings, activation_scales(quantized))
        with clock.step("autocast"):
            quantized = bridged(quantized, spared)
            converted = _finish(autocast(quantized, folder, sorted(tail), None), model)
    computes = computes_in(converted)
    heavy = [node.name for node in model.graph.node if node.op_type in HEAVY]
    left = [name for name in heavy if computes.get(name) != "int8" and name not in spared | tail]
    kept = {_DECODE: sorted(tail), **excluded, _UNQUANTIZED: left}
    record = _calibration_record(chosen, settings, samples, cached=scales is not None)
    candidates = could_have("int8", model, spared | tail)
    return _write("int8", source, out, converted, kept, clock, candidates, record)


def excluded_nodes(model: onnx.ModelProto, exclude: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the nodes that each entry of ``exclude`` stands for.

    Raises:
        PrecisionError: an entry is no regular expression, or matches no node.
    """
    names = [node.name for node in model.graph.node]
    found: dict[str, list[str]] = {}
    for entry in exclude:
        if entry == HEAD_TAIL:
            matches = sorted(head_tail(model))
        else:
            try:
                pattern = re.compile(entry)
            except re.error as error:
                raise PrecisionError(
                    f"exclude: expected a regular expression, got {entry!r}: {error}"
                ) from None
            matches = sorted(name for name in names if pattern.fullmatch(name))
        if not matches:
            example = f", such as {names[0]!r}" if names else ""
            raise PrecisionError(
                f"exclude: expected {entry!r} to match nodes of the detector{example}, got none"
            )
        found[f"excluded by {entry!r}"] = matches
    return found


def _load(source: Path, sizes: Sizes) -> onnx.ModelProto:
    """Read an FP32 detector, name its nodes, and fix its size if there is only one."""
    model = read_onnx(source)
    found = {node.op_type for node in model.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    if found or halves:
        raise PrecisionError(
            f"{source}: expected an FP32 model, got one with "
            f"{'FP16 weights' if halves else ' and '.join(sorted(found))}"
        )
    try:
        _only_input(model)
    except PrecisionError as error:
        raise PrecisionError(f"{source}: {error}") from None
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    if sizes.fixed:
        fix_size(model, sizes.opt)
    infer_shapes(model)
    return model


def _only_input(model: onnx.ModelProto) -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [tensor.name for tensor in model.graph.input if tensor.name not in weights]
    if len(names) != 1:
        raise PrecisionError(f"expected one input, got {len(names)}: {', '.join(names)}")
    (name,) = names
    return str(name)


def _save_samples(
    model: onnx.ModelProto, images: Sequence[Path], input_size: int, folder: Path
) -> Path:
    chosen = calibration.choose(images, _RANGE_SAMPLES, minimum=1)
    reader = calibration.Reader(chosen.images, _only_input(model), input_size)
    folder.mkdir()
    for index, planes in enumerate(iter(reader.get_next, None)):
        np.savez(folder / f"{index}.npz", allow_pickle=False, **planes)
    return folder


def _finish(converted: onnx.ModelProto, source: onnx.ModelProto) -> onnx.ModelProto:
    """Bring back what the tools dropped, and drop what they say of inner tensors."""
    del converted.graph.value_info[:]
    del converted.metadata_props[:]
    converted.metadata_props.extend(source.metadata_props)
    converted.graph.name = source.graph.name
    name = _only_input(source)
    inputs = {tensor.name: tensor for tensor in source.graph.input}
    for tensor in converted.graph.input:
        if tensor.name == name:
            tensor.type.tensor_type.shape.CopyFrom(inputs[name].type.tensor_type.shape)
    for tensor, like in zip(converted.graph.output, source.graph.output, strict=True):
        tensor.type.tensor_type.shape.CopyFrom(like.type.tensor_type.shape)
    return converted


def _write(
    precision: Precision,
    source: Path,
    out: Path,
    model: onnx.ModelProto,
    kept: dict[str, list[str]],
    clock: _Clock,
    candidates: int,
    record: dict[str, Any] | None = None,
) -> PrecisionReport:
    """Check what was achieved, then write the model."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's and the shape inference's types differ
        raise PrecisionError(
            f"{source}: the {precision.upper()} model is invalid: {first_line(error)}"
        ) from None
    report = PrecisionReport(
        precision=precision,
        source_sha256=sha256_of(source),
        sha256="",
        size_bytes=0,
        **histograms(model),
        kept={reason: names for reason, names in kept.items() if names},
        tools=_versions(_TOOLS),
        seconds=clock.seconds,
        calibration=record,
    )
    check_achieved(report, candidates)
    content: bytes = model.SerializeToString(deterministic=True)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise PrecisionError(f"{out}: cannot be written: {error.strerror}") from None
    return replace(report, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _calibration_record(
    chosen: Usable, settings: Mapping[str, object], asked: int, *, cached: bool
) -> dict[str, Any]:
    return {
        "images_sha256": chosen.digest,
        "samples_asked": asked,
        "samples": len(chosen.images),
        "unreadable": list(chosen.unreadable),
        "method": settings["method"],
        "input_size": settings["input_size"],
        "from_cache": cached,
    }


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
