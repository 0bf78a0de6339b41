"""Export trained weights to ONNX: dynamic batch, fixed or dynamic height and width, simplified.

Ultralytics writes the plain graph. What a simplifier makes of it is taken only if it has the same
input and output, the batch axis included, and computes the same; otherwise the next one is tried.
"""

import contextlib
import hashlib
import importlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import PIL.Image
from tridet.versions import installed_versions

from tridet_build.errors import INSTALL, BuildError, ExportError, first_line
from tridet_build.files import write_atomically
from tridet_build.manifest.manifest import PUBLISHED, not_weights
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.axes import fix_size
from tridet_build.onnx.file import OLDEST_OPSET
from tridet_build.onnx.layouts import Layout, Prediction
from tridet_build.onnx.serving_graph import detector_io

TOOLS: Final = ("ultralytics", "torch", "onnx", "onnxsim", "onnxslim")
"""Packages whose versions decide how an export comes out."""
_BATCH: Final = "batch"


@dataclass(frozen=True)
class ExportReport:
    """What was exported, for the build record.

    Attributes:
        layout: what the output means; see ``layouts``.
        rows: A or M of that layout, at the smallest size.
        labels: class names in the weights; the index is the class id.
        opset: of the ONNX.
        weights_sha256, weights_bytes: of the weights file.
        sha256: of the ONNX file.
        nodes_before: number of nodes that Ultralytics wrote.
        nodes_after: number of nodes in the ONNX file.
        simplifier: ``onnxsim``, ``onnxslim`` or ``none``.
        tools: package to version, of those that are installed.
        notes: what the user should know, a line each.
    """

    layout: Layout
    rows: int
    labels: tuple[str, ...]
    opset: int
    weights_sha256: str
    weights_bytes: int
    sha256: str
    nodes_before: int
    nodes_after: int
    simplifier: str
    tools: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Plain:
    """What Ultralytics wrote."""

    model: onnx.ModelProto
    labels: tuple[str, ...]
    weights_sha256: str
    weights_bytes: int


def export_onnx(
    weights: str | Path,
    out: Path,
    *,
    input_size: int | Sizes,
    opset: int = 19,
    nms_free: bool = True,
) -> ExportReport:
    """Export a detector and write it atomically.

    The same weights, arguments and tools give the same file: Ultralytics' metadata is kept but for
    the date of the export.

    Args:
        weights: an Ultralytics ``.pt`` file, or the name of published weights (``yolo11n``), which
            Ultralytics fetches. Such a file is a pickle: loading it runs what its author put there.
        out: the ONNX file to write.
        input_size: S, in pixels, a multiple of 32; or the sizes among which it stays dynamic.
        opset: of the ONNX.
        nms_free: take the end-to-end head of detectors that have one beside the other (v10, 26).

    Raises:
        ExportError: missing or damaged weights, another task than detect, a package that is not
            installed, or an output that cannot be served; nothing has been written then.
    """
    if isinstance(input_size, int) and (input_size < 32 or input_size % 32):
        raise ExportError(f"input_size: expected a multiple of 32, got {input_size}")
    sizes = Sizes.of(input_size)
    if opset < OLDEST_OPSET:
        raise ExportError(f"opset: expected {OLDEST_OPSET} or newer, got {opset}")
    source = _source(weights)
    try:
        plain = _plain(source, sizes, opset, nms_free)
        simple, prediction, simplifier, notes = _simplified(plain, sizes)
        if prediction.layout == "end_to_end" and not nms_free:
            raise BuildError(
                "expected the head that needs NMS, got the end-to-end one; "
                "this takes a newer ultralytics: pip install -U ultralytics"
            )
    except BuildError as error:
        raise ExportError(f"{weights}: {error}") from None
    content = simple.SerializeToString(deterministic=True)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error}") from None
    return ExportReport(
        layout=prediction.layout,
        rows=prediction.rows,
        labels=plain.labels,
        opset=opset,
        weights_sha256=plain.weights_sha256,
        weights_bytes=plain.weights_bytes,
        sha256=hashlib.sha256(content).hexdigest(),
        nodes_before=len(plain.model.graph.node),
        nodes_after=len(simple.graph.node),
        simplifier=simplifier,
        tools=installed_versions(TOOLS),
        notes=tuple(notes),
    )


def _source(weights: str | Path) -> str:
    """Return what Ultralytics shall load: an absolute path, or the name of published weights."""
    path = Path(weights)
    if path.is_file():
        if path.suffix != ".pt":
            raise ExportError(f"{weights}: {not_weights(path, 'an Ultralytics .pt file')}")
        # Absolute, for Ultralytics replaces a damaged file that goes by a published name.
        return str(path.resolve())
    published = PUBLISHED.fullmatch(str(weights))
    if published is None:
        raise ExportError(
            f"{weights}: no such file, nor the name of a published detector "
            "(yolov5nu, yolov8n, yolov9t, yolov10n, yolo11n, yolo12n, yolo26n, ...)"
        )
    if published["task"]:
        raise ExportError(f"{weights}: expected a detector, got the task {published['task']}")
    return str(weights).removesuffix(".pt") + ".pt"


def _plain(source: str, sizes: Sizes, opset: int, nms_free: bool) -> _Plain:
    """Let Ultralytics export; fix height and width, which it leaves dynamic with the batch.

    Unless several sizes are asked for: those need what it leaves.
    """
    # Unless asked to, Ultralytics must not install packages; it would even those a pickle names.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    ultralytics = _package("ultralytics")
    with (
        _own_pillow(),
        _quiet(),
        tempfile.TemporaryDirectory(prefix="tridet-export-") as folder,
    ):
        try:
            yolo = ultralytics.YOLO(source)
        except Exception as error:
            raise BuildError(f"not readable as Ultralytics weights: {_one_line(error)}") from None
        if yolo.task != "detect":
            raise BuildError(f"expected a model of the task detect, got {yolo.task}")
        checkpoint = Path(yolo.ckpt_path).read_bytes()
        # Ultralytics writes beside the weights.
        yolo.model.pt_path = str(Path(folder, "detector.pt"))
        if sizes.fixed:
            yolo.add_callback("on_export_start", _keep_anchors)
        try:
            path = yolo.export(
                format="onnx",
                # An end-to-end head keeps as many rows as there are anchors at this size.
                imgsz=sizes.min,
                batch=1,
                dynamic=True,
                simplify=False,
                opset=opset,
                device="cpu",
                **({"nms": False} if nms_free else {}),
            )
            model = onnx.load(path)
        except Exception as error:
            raise BuildError(f"Ultralytics cannot export it: {_one_line(error)}") from None
    names = yolo.names
    labels = tuple(str(names[index]) for index in sorted(names))
    kept = [entry for entry in model.metadata_props if entry.key != "date"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if sizes.fixed:
        fix_size(model, sizes.opt)
    return _Plain(model, labels, hashlib.sha256(checkpoint).hexdigest(), len(checkpoint))


def _keep_anchors(exporter: Any) -> None:
    """Let the anchors be constants; with `dynamic=True` the graph would compute them anew."""
    for module in exporter.model.modules():
        if getattr(module, "dynamic", False):
            module.dynamic = False


def _simplified(plain: _Plain, sizes: Sizes) -> tuple[onnx.ModelProto, Prediction, str, list[str]]:
    """Return the graph of the first simplifier that keeps its meaning, its name, and notes."""
    notes = []
    for name, simplify in (("onnxsim", _by_onnxsim), ("onnxslim", _by_onnxslim)):
        try:
            simple = simplify(deepcopy(plain.model))
            del simple.metadata_props[:]
            simple.metadata_props.extend(plain.model.metadata_props)
            simple.ir_version = plain.model.ir_version
            prediction = _checked(simple, plain, sizes)
            # What a simplifier took for a constant of one size shows at another.
            for size in sorted({sizes.min, sizes.opt, sizes.max})[:2]:
                _compare(simple, plain, prediction, size)
        except Exception as error:  # the simplifiers raise anything
            notes.append(f"not simplified by {name}: {_one_line(error)}")
            continue
        # Its name, where it has one, is the simplifier's own.
        simple.graph.output[0].type.tensor_type.shape.dim[0].dim_param = _BATCH
        return simple, prediction, name, notes
    try:
        return plain.model, _checked(plain.model, plain, sizes), "none", notes
    except BuildError as error:
        raise BuildError("; ".join([str(error), *notes])) from None


def _by_onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    simple: onnx.ModelProto = _package("onnxsim").simplify(model)[0]
    return simple


def _by_onnxslim(model: onnx.ModelProto) -> onnx.ModelProto:
    simple: onnx.ModelProto = _package("onnxslim").slim(model)
    return simple


def _checked(model: onnx.ModelProto, plain: _Plain, sizes: Sizes) -> Prediction:
    """Check the graph, its input and its output, and that no dynamic axis got lost."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BuildError(f"the graph is invalid: {_one_line(error)}") from None
    return detector_io(model, input_size=sizes, classes=len(plain.labels)).prediction


def _compare(simple: onnx.ModelProto, plain: _Plain, prediction: Prediction, size: int) -> None:
    """Run both graphs on a batch of two different frames of ``size`` pixels."""
    images = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    want, got = _run(plain.model, images), _run(simple, images)
    if prediction.layout == "end_to_end":
        # Rounding may swap rows of equal score, but hardly changes the sorted scores.
        want, got = want[..., 4], got[..., 4]
    # Pixels of boxes and fractions of scores, equal but for rounding.
    if want.shape != got.shape or not np.allclose(want, got, rtol=1e-3, atol=5e-3):
        raise BuildError("the simplified graph computes something else")


def _run(model: onnx.ModelProto, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    onnxruntime = _package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(output)


def _package(name: str) -> Any:
    """Import a package of the extra full."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BuildError(
            f"{name} cannot be imported ({_one_line(error)}); run: {INSTALL}"
        ) from None


@contextlib.contextmanager
def _own_pillow() -> Iterator[None]:
    """Undo that Ultralytics replaces Pillow's ``open`` for the whole process.

    Its own wants a package for HEIF whenever a file is not an image, and later stages decode too.
    """
    original = PIL.Image.open
    try:
        yield
    finally:
        PIL.Image.open = original


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ultralytics' banners and torch's tracing warnings off the terminal."""
    logger = logging.getLogger("ultralytics")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _one_line(error: Exception) -> str:
    return re.sub(r"^ERROR \S+ ", "", first_line(error))
