"""The model repository of the benchmark: all pipelines on one server, with the same stub detector.

Equal for all: the server process, instance counts and batching (what tridet_build renders, copied
onto the naive ensemble's steps), thresholds, objects found. Different: the tensors between the
steps, and the code of the steps.
"""

from pathlib import Path
from typing import Any

from tridet.processing import contract
from tridet_build import steps
from tridet_build.manifest.manifest import DefaultThresholds, Manifest
from tridet_build.manifest.sizes import Sizes
from tridet_build.repository import configs
from tridet_build.repository.render import render
from tritonclient.grpc import model_config_pb2 as pb

from bench_pipelines import scene

TRIDET = "bench"
TRIDET_DETECTOR = configs.detector_name(TRIDET)
NAIVE = "naive"
NAIVE_PREPROCESS = "naive_preprocess"
NAIVE_NMS = "naive_nms"
STUB_RAW = "stub_raw"

_HERE = Path(__file__).parent
_TENSORS = Path(steps.__file__).with_name("tensors.py")
_SIDE = scene.INPUT_SIZE
_SIZES = Sizes.only(_SIDE)
_FRAME = ("IMAGE", pb.TYPE_UINT8, [-1, -1, 3])
_TENSOR = ("images", pb.TYPE_FP32, [3, _SIDE, _SIDE])
_HEAD = ("output0", pb.TYPE_FP32, [4 + scene.CLASSES, scene.ANCHORS])
_GEOMETRY = ("geometry", pb.TYPE_FP32, [3])


def write_repository(root: Path) -> None:
    """Write the repository under ``root``, an empty folder."""
    weights = root / "stub.onnx"
    weights.write_bytes(b"only its hash is shown")
    manifest = Manifest(
        name=TRIDET,
        weights=weights,
        labels=tuple(f"class {number}" for number in range(scene.CLASSES)),
        input_size=_SIZES,
        candidates=scene.CANDIDATES,
        thresholds=DefaultThresholds(conf=scene.CONF, iou=scene.IOU),
    )
    files = {
        **render([manifest]),
        **_step(TRIDET_DETECTOR, "stub_serving"),
        f"{TRIDET_DETECTOR}/1/bench_scene.py": _source("scene.py"),
        **_naive(manifest),
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _naive(manifest: Manifest) -> dict[str, bytes]:
    """The naive ensemble, and the detector that it shares with Ultralytics' client."""
    detections: list[Any] = list(configs.nms_config([manifest]).output)
    ensemble = pb.ModelConfig(
        name=NAIVE, platform="ensemble", max_batch_size=manifest.batch.max, output=detections
    )
    _add(ensemble.input, [_FRAME])
    for model, inputs, outputs in (
        (NAIVE_PREPROCESS, ["IMAGE"], ["images", "geometry"]),
        (STUB_RAW, ["images"], ["output0"]),
        (NAIVE_NMS, ["output0", "geometry"], contract.DETECTIONS),
    ):
        step = ensemble.ensemble_scheduling.step.add(model_name=model, model_version=-1)
        step.input_map.update({name: name for name in inputs})
        step.output_map.update({name: name for name in outputs})
    preprocess = _like(configs.preprocess_config(_SIZES, [manifest]), NAIVE_PREPROCESS)
    _add(preprocess.input, [_FRAME])
    _add(preprocess.output, [_TENSOR, _GEOMETRY])
    stub = _like(configs.detector_config(manifest, "python"), STUB_RAW)
    _add(stub.input, [_TENSOR])
    _add(stub.output, [_HEAD])
    nms = _like(configs.nms_config([manifest]), NAIVE_NMS)
    _add(nms.input, [_HEAD, _GEOMETRY])
    nms.output.extend(detections)
    return {
        **{
            f"{config.name}/config.pbtxt": configs.to_text(config).encode()
            for config in (ensemble, preprocess, stub, nms)
        },
        f"{NAIVE}/1/.gitkeep": b"",
        **_step(NAIVE_PREPROCESS, "naive_preprocess"),
        **_step(STUB_RAW, "stub_raw"),
        f"{STUB_RAW}/1/bench_scene.py": _source("scene.py"),
        **_step(NAIVE_NMS, "naive_nms"),
    }


def _like(ours: Any, name: str) -> Any:
    """Return a config with the instances and batching of one of tridet's steps."""
    config = pb.ModelConfig(name=name, backend="python", max_batch_size=ours.max_batch_size)
    config.instance_group.extend(ours.instance_group)
    if ours.HasField("dynamic_batching"):
        config.dynamic_batching.CopyFrom(ours.dynamic_batching)
    return config


def _add(field: Any, tensors: list[tuple[str, int, list[int]]]) -> None:
    for name, kind, dims in tensors:
        field.add(name=name, data_type=kind, dims=dims)


def _step(name: str, source: str) -> dict[str, bytes]:
    return {
        f"{name}/1/model.py": _source(f"server_models/{source}.py"),
        f"{name}/1/tridet_tensors.py": _TENSORS.read_bytes(),
    }


def _source(name: str) -> bytes:
    return (_HERE / name).read_bytes()
