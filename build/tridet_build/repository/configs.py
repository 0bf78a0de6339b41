"""The ``config.pbtxt`` of every step, built as the ``ModelConfig`` message that Triton reads.

A detector has one config per runtime, all with the same tensors; ``config.pbtxt`` is TensorRT's,
the others stand in ``configs/`` and are chosen with ``tritonserver --model-config-name``.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, TypeAlias

from google.protobuf import text_format
from tridet.processing import contract
from tritonclient.grpc import model_config_pb2 as pb

from tridet_build.manifest.groups import Group
from tridet_build.manifest.manifest import DefaultThresholds, Manifest
from tridet_build.manifest.sizes import Sizes

Runtime: TypeAlias = Literal["tensorrt", "onnxruntime", "python"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("tensorrt", "onnxruntime", "python")
NMS: Final = "nms"
RENDERED: Final = "# Rendered by tridet-build"
"""What a config begins with that this project may replace, and remove."""

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
_AFTER: Final = (contract.AFTER, _INT32, [1])
_Tensors: TypeAlias = Iterable[tuple[str, int, Sequence[int]]]


def preprocess_name(sizes: Sizes) -> str:
    """Name of the step that all detectors of the same input sizes share."""
    sides = [sizes.opt] if sizes.fixed else [sizes.min, sizes.opt, sizes.max]
    return "_".join(["preprocess", *map(str, sides)])


def detector_name(name: str) -> str:
    """Name of the step that runs the serving graph of the detector ``name``."""
    return f"{name}_detector"


def ensemble_names(name: str) -> tuple[str, str]:
    """Names of the ensembles of the detector or group ``name``: of images, and of encoded ones."""
    return name, name + contract.ENCODED_SUFFIX


def preprocess_config(sizes: Sizes, manifests: Sequence[Manifest]) -> pb.ModelConfig:
    """Config of the preprocess step that the detectors of the same input sizes share.

    Args:
        sizes: of S.
        manifests: all detectors of the repository.
    """
    co_served = [m for m in manifests if m.input_size == sizes]
    config = _python_step(
        preprocess_name(sizes), manifests, max(m.instances.preprocess for m in co_served)
    )
    for name, kind, dims in (_IMAGE, _ENCODED):
        # Frames of different sizes may still meet in one execute call.
        config.input.add(
            name=name, data_type=kind, dims=dims, optional=True, allow_ragged_batch=True
        )
    _add(config.output, _letterboxed(sizes))
    _add(config.output, _PASSED_BY)
    config.parameters[contract.STEP_INPUT_SIZES].string_value = json.dumps(
        [sizes.min, sizes.opt, sizes.max]
    )
    pixels = max(m.limits.max_pixels for m in co_served)
    config.parameters[contract.STEP_MAX_PIXELS].string_value = str(pixels)
    return config


def nms_config(manifests: Sequence[Manifest]) -> pb.ModelConfig:
    """Config of the NMS step that all detectors share.

    Its own defaults serve clients that send no thresholds. They are the detectors' where those
    agree, the field's usual ones otherwise; tridet's client sends those of the detector it calls.
    """
    config = _python_step(NMS, manifests, max(m.instances.nms for m in manifests))
    _add(config.input, _candidates(-1))
    _add(config.input, _PASSED_BY[:1])
    # Left unmapped by the branches of a group that do not count the frame out.
    for name, kind, dims in (*_PASSED_BY[1:], _AFTER):
        config.input.add(name=name, data_type=kind, dims=dims, optional=True)
    _add(config.output, _DETECTIONS)
    asked = {m.thresholds for m in manifests}
    defaults = asked.pop() if len(asked) == 1 else DefaultThresholds()
    for name, value in asdict(defaults).items():
        config.parameters[name].string_value = json.dumps(value)
    return config


def detector_config(manifest: Manifest, runtime: Runtime) -> pb.ModelConfig:
    """Config of the detector step under one runtime."""
    config = pb.ModelConfig(name=detector_name(manifest.name), max_batch_size=manifest.batch.max)
    sizes = manifest.input_size
    _add(config.input, _letterboxed(sizes))
    _add(config.output, _candidates(manifest.candidates))
    # No queue policy here: Triton's would cost bursts half a second (see steps/admission.py).
    config.dynamic_batching.max_queue_delay_microseconds = manifest.batch.delay_us
    for batch in sorted({1, manifest.batch.opt}):
        warmup = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch)
        frame = warmup.inputs[contract.IMAGES]
        frame.data_type, frame.zero_data = _UINT8, True
        frame.dims.extend([sizes.opt, sizes.opt, 3])
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


def ensemble_config(
    manifest: Manifest, *, encoded: bool, build: Mapping[str, str]
) -> pb.ModelConfig:
    """Config of the ensemble ``<name>`` (takes IMAGE) or ``<name>_encoded`` (takes ENCODED).

    Args:
        manifest: the detector.
        encoded: which of the two.
        build: facts about the served weights, shown to clients as they are.
    """
    config = _ensemble(manifest.name, [manifest], encoded)
    _add(config.output, _DETECTIONS)
    candidates = [contract.BOXES, contract.SCORES, contract.CLASS_IDS]
    passed_by = [name for name, _, _ in _PASSED_BY]
    _step(config, detector_name(manifest.name), [contract.IMAGES], candidates)
    _step(config, NMS, [*candidates, *passed_by], contract.DETECTIONS)
    _describe(
        config,
        {
            contract.PARAM_CONTRACT: str(contract.CONTRACT_VERSION),
            contract.PARAM_LABELS: json.dumps(manifest.labels, ensure_ascii=False),
            contract.PARAM_PRECISION: manifest.precision,
            contract.PARAM_DEFAULTS: json.dumps(asdict(manifest.thresholds)),
            contract.PARAM_BUILD: json.dumps(dict(build), sort_keys=True),
        },
    )
    return config


def group_config(
    group: Group, *, encoded: bool, builds: Mapping[str, Mapping[str, str]]
) -> pb.ModelConfig:
    """Config of the ensemble ``<group>`` or ``<group>_encoded``: one preprocess, N branches.

    Args:
        group: the detectors.
        encoded: which of the two.
        builds: by detector, facts about the served weights.
    """
    config = _ensemble(group.name, group.members, encoded)
    previous = None
    for member in group.members:
        _add(
            config.output,
            [(contract.member_output(member.name, name), *rest) for name, *rest in _DETECTIONS],
        )
        _branch(config, member, previous, last=member is group.members[-1])
        previous = member
    members = [
        {
            "name": member.name,
            "labels": member.labels,
            "precision": member.precision,
            "defaults": asdict(member.thresholds),
            "build": builds[member.name],
        }
        for member in group.members
    ]
    _describe(
        config,
        {
            contract.PARAM_CONTRACT: str(contract.GROUP_CONTRACT_VERSION),
            contract.PARAM_GROUP: json.dumps(members, ensure_ascii=False),
        },
    )
    return config


def to_text(config: pb.ModelConfig) -> str:
    """Render a config as ``config.pbtxt``."""
    text: str = text_format.MessageToString(config, as_utf8=True)
    return f"{RENDERED} (`make repository`): change the manifest instead.\n{text}"


def _ensemble(name: str, members: Sequence[Manifest], encoded: bool) -> pb.ModelConfig:
    """Start the config of an ensemble: its input, its preprocess, and what its members share."""
    source = _ENCODED if encoded else _IMAGE
    first = members[0]
    config = pb.ModelConfig(
        name=ensemble_names(name)[encoded],
        platform="ensemble",
        max_batch_size=min(member.batch.max for member in members),
    )
    _add(config.input, [source])
    passed_by = [tensor for tensor, _, _ in _PASSED_BY]
    _step(config, preprocess_name(first.input_size), [source[0]], [contract.IMAGES, *passed_by])
    _describe(
        config,
        {
            contract.PARAM_TASK: first.task,
            contract.PARAM_INPUT_SIZE: str(first.input_size.opt),
            contract.PARAM_MAX_PIXELS: str(min(member.limits.max_pixels for member in members)),
        },
    )
    if not first.input_size.fixed:
        sizes = json.dumps([first.input_size.min, first.input_size.max])
        _describe(config, {contract.PARAM_INPUT_SIZES: sizes})
    return config


def _branch(
    config: pb.ModelConfig, member: Manifest, previous: Manifest | None, *, last: bool
) -> None:
    """Add a member's detector and NMS to a group.

    A frame is under way until its last branch is done, whichever detector is the slowest: each NMS
    waits for the one before, and the last one alone is given the ticket.
    """
    # No detector's name holds a dot, so these are not the name of any output.
    inner = {
        name: f"{member.name}.{name}"
        for name in (contract.BOXES, contract.SCORES, contract.CLASS_IDS)
    }
    detector = config.ensemble_scheduling.step.add(
        model_name=detector_name(member.name), model_version=-1
    )
    detector.input_map[contract.IMAGES] = contract.IMAGES
    detector.output_map.update(inner)
    nms = config.ensemble_scheduling.step.add(model_name=NMS, model_version=-1)
    nms.input_map.update({**inner, contract.LETTERBOX: contract.LETTERBOX})
    if previous:
        nms.input_map[contract.AFTER] = contract.member_output(
            previous.name, contract.NUM_DETECTIONS
        )
    if last:
        nms.input_map[contract.ADMISSION] = contract.ADMISSION
    nms.output_map.update(
        {name: contract.member_output(member.name, name) for name in contract.DETECTIONS}
    )


def _describe(config: pb.ModelConfig, facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        config.parameters[name].string_value = value


def _letterboxed(sizes: Sizes) -> _Tensors:
    size = sizes.opt if sizes.fixed else -1
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

    With dynamic batching and no such list the backend captures batch 1 and the maximum only. A
    graph holds one input size: others than the usual one run without.
    """
    cuda = config.optimization.cuda
    cuda.graphs = True
    dims = [manifest.input_size.opt, manifest.input_size.opt, 3]
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
