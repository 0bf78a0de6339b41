"""The ``config.pbtxt`` of every step, built as the ``ModelConfig`` message that Triton reads.

A detector has one config per runtime, all with the same tensors; ``config.pbtxt`` is TensorRT's,
the others stand in ``configs/`` and are chosen with ``tritonserver --model-config-name``.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias

from google.protobuf import text_format
from tridet import _contract as contract
from tritonclient.grpc import model_config_pb2 as pb

from tridet_build.manifest import Manifest, Thresholds

Runtime: TypeAlias = Literal["tensorrt", "onnxruntime", "python"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("tensorrt", "onnxruntime", "python")
NMS: Final = "nms"

_UINT8, _FP32, _INT32, _INT64 = pb.TYPE_UINT8, pb.TYPE_FP32, pb.TYPE_INT32, pb.TYPE_INT64
_IMAGE: Final = (contract.IMAGE, _UINT8, [-1, -1, 3])
_ENCODED: Final = (contract.ENCODED, _UINT8, [-1])
_DETECTIONS: Final = (
    (contract.NUM_DETECTIONS, _INT32, [1]),
    (contract.DETECTION_BOXES, _FP32, [-1, 4]),
    (contract.DETECTION_SCORES, _FP32, [-1]),
    (contract.DETECTION_CLASSES, _INT32, [-1]),
)
# Past the detector, from preprocess to nms.
_PASSED_BY: Final = ((contract.LETTERBOX, _FP32, [6]), (contract.ADMISSION, _INT64, [1]))
_Tensors: TypeAlias = Iterable[tuple[str, int, Sequence[int]]]


def preprocess_name(input_size: int) -> str:
    """Name of the step that all detectors of one input size (in pixels) share."""
    return f"preprocess_{input_size}"


def detector_name(name: str) -> str:
    """Name of the step that runs the serving graph of the detector ``name``."""
    return f"{name}_detector"


def preprocess_config(input_size: int, manifests: Sequence[Manifest]) -> pb.ModelConfig:
    """Config of the preprocess step that the detectors of ``input_size`` pixels share.

    Args:
        input_size: S, in pixels.
        manifests: all detectors of the repository.
    """
    sharers = [m for m in manifests if m.input_size == input_size]
    config = _python_step(
        preprocess_name(input_size), manifests, max(m.instances.preprocess for m in sharers)
    )
    for name, kind, dims in (_IMAGE, _ENCODED):
        # Frames of different sizes may still meet in one execute call.
        config.input.add(
            name=name, data_type=kind, dims=dims, optional=True, allow_ragged_batch=True
        )
    _add(config.output, _letterboxed(input_size))
    _add(config.output, _PASSED_BY)
    pixels = max(m.limits.max_pixels for m in sharers)
    config.parameters[contract.STEP_MAX_PIXELS].string_value = str(pixels)
    return config


def nms_config(manifests: Sequence[Manifest]) -> pb.ModelConfig:
    """Config of the NMS step that all detectors share.

    Its own defaults serve clients that send no thresholds. They are the detectors' where those
    agree, the field's usual ones otherwise; tridet's client sends those of the detector it calls.
    """
    config = _python_step(NMS, manifests, max(m.instances.nms for m in manifests))
    _add(config.input, _candidates(-1))
    _add(config.input, _PASSED_BY)
    _add(config.output, _DETECTIONS)
    wishes = {m.thresholds for m in manifests}
    defaults = wishes.pop() if len(wishes) == 1 else Thresholds()
    for name, value in asdict(defaults).items():
        config.parameters[name].string_value = json.dumps(value)
    return config


def detector_config(manifest: Manifest, runtime: Runtime) -> pb.ModelConfig:
    """Config of the detector step under one runtime."""
    config = pb.ModelConfig(name=detector_name(manifest.name), max_batch_size=manifest.batch.max)
    size = manifest.input_size
    _add(config.input, _letterboxed(size))
    _add(config.output, _candidates(manifest.candidates))
    # No queue policy here: Triton's would cost bursts half a second (see steps/admission.py).
    config.dynamic_batching.max_queue_delay_microseconds = manifest.batch.delay_us
    for batch in sorted({1, manifest.batch.opt}):
        warmup = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch)
        frame = warmup.inputs[contract.IMAGES]
        frame.data_type, frame.zero_data = _UINT8, True
        frame.dims.extend([size, size, 3])
    group = config.instance_group.add(count=manifest.instances.detector)
    match runtime:
        case "tensorrt":
            config.platform = "tensorrt_plan"
            group.kind = pb.ModelInstanceGroup.KIND_GPU
            _cuda_graphs(config, manifest)
        case "onnxruntime":
            # KIND_AUTO: on the GPU where there is one, on the CPU otherwise.
            config.platform = "onnxruntime_onnx"
            config.parameters["intra_op_thread_count"].string_value = str(manifest.threads)
        case "python":
            config.backend = "python"
            group.kind = pb.ModelInstanceGroup.KIND_CPU
            config.parameters[contract.STEP_THREADS].string_value = str(manifest.threads)
    return config


def ensemble_config(manifest: Manifest, *, encoded: bool, build: dict[str, str]) -> pb.ModelConfig:
    """Config of the ensemble ``<name>`` (takes IMAGE) or ``<name>_encoded`` (takes ENCODED).

    Args:
        manifest: the detector.
        encoded: which of the two.
        build: facts about the served weights, shown to clients as they are.
    """
    source = _ENCODED if encoded else _IMAGE
    config = pb.ModelConfig(
        name=manifest.name + (contract.ENCODED_SUFFIX if encoded else ""),
        platform="ensemble",
        max_batch_size=manifest.batch.max,
    )
    _add(config.input, [source])
    _add(config.output, _DETECTIONS)
    candidates = [contract.BOXES, contract.SCORES, contract.CLASS_IDS]
    passed_by = [name for name, _, _ in _PASSED_BY]
    _step(
        config,
        preprocess_name(manifest.input_size),
        [source[0]],
        [contract.IMAGES, *passed_by],
    )
    _step(config, detector_name(manifest.name), [contract.IMAGES], candidates)
    _step(config, NMS, [*candidates, *passed_by], contract.DETECTIONS)
    for name, value in {
        contract.PARAM_CONTRACT: str(contract.CONTRACT_VERSION),
        contract.PARAM_TASK: manifest.task,
        contract.PARAM_LABELS: json.dumps(manifest.labels, ensure_ascii=False),
        contract.PARAM_INPUT_SIZE: str(manifest.input_size),
        contract.PARAM_PRECISION: manifest.precision,
        contract.PARAM_DEFAULTS: json.dumps(asdict(manifest.thresholds)),
        contract.PARAM_MAX_PIXELS: str(manifest.limits.max_pixels),
        contract.PARAM_BUILD: json.dumps(build, sort_keys=True),
    }.items():
        config.parameters[name].string_value = value
    return config


def to_text(config: pb.ModelConfig) -> str:
    """Render a config as ``config.pbtxt``."""
    text: str = text_format.MessageToString(config, as_utf8=True)
    return f"# Rendered by tridet-build (`make repository`): change the manifest instead.\n{text}"


def _letterboxed(size: int) -> _Tensors:
    return [(contract.IMAGES, _UINT8, [size, size, 3])]


def _candidates(count: int) -> _Tensors:
    return [
        (contract.BOXES, _FP32, [count, 4]),
        (contract.SCORES, _FP32, [count]),
        (contract.CLASS_IDS, _INT32, [count]),
    ]


def _add(field: Any, tensors: _Tensors) -> None:
    for name, kind, dims in tensors:
        field.add(name=name, data_type=kind, dims=dims)


def _python_step(name: str, manifests: Sequence[Manifest], instances: int) -> pb.ModelConfig:
    """Start the config of a Python step.

    It has no dynamic batcher: that would hand all waiting requests to one instance, which works
    through them one by one while the others stand idle.
    """
    config = pb.ModelConfig(
        name=name, backend="python", max_batch_size=max(m.batch.max for m in manifests)
    )
    config.instance_group.add(count=instances, kind=pb.ModelInstanceGroup.KIND_CPU)
    # All steps share one table of frames under way, so its size and limit are the repository's.
    in_flight = max(m.limits.max_in_flight for m in manifests)
    max_wait_s = max(m.limits.max_wait_s for m in manifests)
    config.parameters[contract.STEP_MAX_IN_FLIGHT].string_value = str(in_flight)
    config.parameters[contract.STEP_MAX_WAIT_S].string_value = str(max_wait_s)
    return config


def _cuda_graphs(config: pb.ModelConfig, manifest: Manifest) -> None:
    """Capture graphs at powers of two, each also used for the smaller batches down to the last one.

    With dynamic batching and no such list the backend captures batch 1 and the maximum only.
    """
    cuda = config.optimization.cuda
    cuda.graphs = True
    dims = [manifest.input_size, manifest.input_size, 3]
    previous = 0
    while previous < manifest.batch.max:
        batch = min(max(1, 2 * previous), manifest.batch.max)
        spec = cuda.graph_spec.add(batch_size=batch)
        spec.input[contract.IMAGES].dim.extend(dims)
        spec.graph_lower_bound.batch_size = previous + 1
        spec.graph_lower_bound.input[contract.IMAGES].dim.extend(dims)
        previous = batch


def _step(
    config: pb.ModelConfig, model: str, inputs: Iterable[str], outputs: Iterable[str]
) -> None:
    """Add a step whose tensors have the same names inside the ensemble and in the model."""
    step = config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
    step.input_map.update({name: name for name in inputs})
    step.output_map.update({name: name for name in outputs})
