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
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto
from tridet.versions import installed_versions

from tridet_build.datasets import images as image_files
from tridet_build.datasets.images import MAX_PIXELS
from tridet_build.errors import PrecisionError, first_line
from tridet_build.files import write_atomically
from tridet_build.manifest.manifest import Calibration
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.axes import fix_size, infer_shapes
from tridet_build.onnx.file import inputs_of, read_onnx, weights_sha256
from tridet_build.precision import calibration
from tridet_build.precision.modelopt import Method, audible, autocast, quantize
from tridet_build.precision.qdq import activation_scales, without_qdq
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
TOOLS: Final = ("nvidia-modelopt", "onnx", "onnxruntime", "onnx-graphsurgeon", "torch", "numpy")
"""Packages whose versions decide how a variant comes out, beside those that read images."""
# What the scales hang on.
_CALIBRATORS: Final = (
    "tridet",
    "tridet-build",
    "nvidia-modelopt",
    "onnx",
    "onnxruntime",
    *image_files.TOOLS,
)
_DEFAULTS: Final = Calibration()
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
    source: Path,
    out: Path,
    *,
    input_size: int | Sizes,
    images: Sequence[Path] = (),
    max_pixels: int = MAX_PIXELS,
) -> PrecisionReport:
    """Write the FP16 variant of a detector.

    Args:
        source: ONNX, FP32, one input [N, 3, S, S].
        out: the file to write.
        input_size: S, in pixels, at which dynamic height and width are fixed; or the sizes among
            which they stay dynamic.
        images: real images; with some, nodes whose values get large on them stay FP32 too.
        max_pixels: largest accepted image, width times height.

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
            chosen = calibration.choose(images, _RANGE_SAMPLES, minimum=1, max_pixels=max_pixels)
            reader = calibration.Reader(
                chosen.images, _only_input(model), sizes.opt, max_pixels=max_pixels
            )
            samples = _save_samples(reader, Path(folder) / "samples")
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
    settings: Calibration = _DEFAULTS,
    max_pixels: int = MAX_PIXELS,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> PrecisionReport:
    """Write the INT8 variant of a detector: Q/DQ pairs, and FP16 where there are none.

    Args:
        source: as :func:`to_fp16`.
        out: the file to write.
        images: real images, as the detector will see them; some of them are used.
        input_size: as :func:`to_fp16`; the images are letterboxed to the usual size.
        settings: how many of the images, which nodes are spared and how a range becomes a scale;
            the folder in it is not looked at.
        max_pixels: largest accepted image, width times height.
        cache: folder in which scales are kept for the next build with the same model, images and
            settings; None keeps none.
        progress: called with (images done, images in all) while calibrating.

    Returns:
        What was achieved; ``calibration`` in it says which images are left out.

    Raises:
        CalibrationError, ImagesError: too few images are asked for, or usable.
        OnnxError: as :func:`to_fp16`.
        PrecisionError: as :func:`to_fp16`; or ``exclude`` has a pattern that matches no node.
    """
    clock = _Clock()
    sizes = Sizes.of(input_size)
    model = _load(source, sizes)
    excluded = excluded_nodes(model, settings.exclude)
    spared = {name for names in excluded.values() for name in names}
    tail = decode_tail(model)
    # What a pattern excludes is calibrated all the same, so that another one needs no new pass.
    never = sorted(head_tail(model) if HEAD_TAIL in settings.exclude else tail)
    with clock.step("images"):
        chosen = calibration.choose(
            images, settings.samples, minimum=settings.minimum, max_pixels=max_pixels
        )
    key = {
        "model": weights_sha256(source),
        "images": sorted(chosen.sha256),
        "input_size": sizes.opt,
        "method": settings.method,
        "exclude": never,
        "tools": installed_versions(_CALIBRATORS),
    }
    scales = calibration.load_scales(cache, key) if cache else None
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
            quantized = quantize(model, folder, reader, settings.method, never, scales)
        if cache and scales is None:
            calibration.save_scales(cache, key, activation_scales(quantized))
        with clock.step("autocast"):
            quantized = without_qdq(quantized, spared)
            converted = _finish(autocast(quantized, folder, sorted(tail), None), model)
    computes = computes_in(converted)
    heavy = [node.name for node in model.graph.node if node.op_type in HEAVY]
    left = [name for name in heavy if computes.get(name) != "int8" and name not in spared | tail]
    kept = {_DECODE: sorted(tail), **excluded, _UNQUANTIZED: left}
    record = {
        "images_sha256": chosen.digest,
        "samples_asked": settings.samples,
        "samples": len(chosen.images),
        "unreadable": list(chosen.unreadable),
        "method": settings.method,
        "input_size": sizes.opt,
        "from_cache": scales is not None,
    }
    candidates = could_have("int8", model, spared | tail)
    report = _write("int8", source, out, converted, kept, clock, candidates)
    return replace(report, calibration=record)


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


def decode_tail(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes behind the last convolutions of the head: scores and boxes are made there.

    A convolution behind a softmax is part of it: the weighted mean that decodes box distances.
    """
    return _tail(model)[0]


def head_tail(model: onnx.ModelProto) -> set[str]:
    """Names of the decode tail's nodes and of the convolutions right before it."""
    tail, last = _tail(model)
    return tail | last


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
    names: set[str] = set()
    for index, node in enumerate(model.graph.node):
        # The tools and we tell nodes by their names, which the format wants neither set nor unique.
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{index}"
        names.add(node.name)
    if sizes.fixed:
        fix_size(model, sizes.opt)
    infer_shapes(model)
    return model


def _tail(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Walk back from the outputs; return the nodes met, and the convolutions where it ended."""
    makers = {name: node for node in model.graph.node for name in node.output}
    tail: set[str] = set()
    last: set[str] = set()
    waiting = [tensor.name for tensor in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in tail | last:
            continue
        if node.op_type == "Conv" and not _follows_softmax(node, makers):
            last.add(node.name)
            continue
        tail.add(node.name)
        waiting += node.input
    if not last or len(tail) > len(model.graph.node) / 2:
        raise PrecisionError(
            "expected a head that ends in convolutions, got "
            f"{len(tail)} of {len(model.graph.node)} nodes behind the last {len(last)} ones"
        )
    return tail, last


def _follows_softmax(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> bool:
    before = makers.get(node.input[0])
    while before is not None and before.op_type in ("Transpose", "Reshape"):
        before = makers.get(before.input[0])
    return before is not None and before.op_type == "Softmax"


def _only_input(model: onnx.ModelProto) -> str:
    names = [tensor.name for tensor in inputs_of(model)]
    if len(names) != 1:
        raise PrecisionError(f"expected one input, got {len(names)}: {', '.join(names)}")
    return names[0]


def _save_samples(reader: calibration.Reader, folder: Path) -> Path:
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
) -> PrecisionReport:
    """Check what was achieved, then write the model."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker's and the shape inference's types differ
        raise PrecisionError(
            f"{source}: the {precision.upper()} model is invalid: {first_line(error)}"
        ) from None
    counts = histograms(model)
    report = PrecisionReport(
        precision=precision,
        source_sha256=weights_sha256(source),
        sha256="",
        size_bytes=0,
        nodes=counts["nodes"],
        heavy_nodes=counts["heavy_nodes"],
        plumbing=counts["plumbing"],
        weights=counts["weights"],
        kept={reason: names for reason, names in kept.items() if names},
        tools=installed_versions(TOOLS),
        seconds=clock.seconds,
    )
    check_achieved(report, candidates)
    content: bytes = model.SerializeToString(deterministic=True)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise PrecisionError(f"{out}: cannot be written: {error.strerror}") from None
    return replace(report, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
