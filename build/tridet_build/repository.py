"""Assemble the Triton model repository of one or several detectors.

preprocess_<S>/         Python step, one per input size
nms/                    Python step, shared by all
<name>_detector/        the serving graph: config.pbtxt for TensorRT, configs/ for other runtimes
<name>/ <name>_encoded/ the ensembles that clients call
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import onnx
import tridet
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tridet_build import configs, steps
from tridet_build._atomic import write_atomically
from tridet_build._exceptions import RepositoryError
from tridet_build.graph import serving_graph
from tridet_build.manifest import Manifest

VERSION: Final = "1"
SERVING_GRAPH: Final = "model.onnx"

_STEPS: Final = Path(steps.__file__).parent
_SHARED: Final = Path(tridet.__file__).parent
# What stands in the version folder of each kind of step: its name there, and its source. A version
# folder comes last on the Python path of its step, so the names must be nobody else's.
_PREPROCESS: Final = {
    "model.py": _STEPS / "preprocess_model.py",
    "tridet_admission.py": _STEPS / "admission.py",
    "tridet_contract.py": _SHARED / "_contract.py",
    "tridet_decode.py": _SHARED / "_decode.py",
    "tridet_letterbox.py": _SHARED / "_letterbox.py",
}
_NMS: Final = {
    "model.py": _STEPS / "nms_model.py",
    "tridet_admission.py": _STEPS / "admission.py",
    "tridet_contract.py": _SHARED / "_contract.py",
    "tridet_suppression.py": _STEPS / "suppression.py",
}
_DETECTOR: Final = {
    "model.py": _STEPS / "detector_model.py",
    "tridet_contract.py": _SHARED / "_contract.py",
}


def render(manifests: Sequence[Manifest]) -> dict[str, bytes]:
    """Render every text file of the repository: relative path to content.

    The serving graphs, which are large and quick to make, are not part of it.
    """
    files: dict[str, bytes] = {}
    for size in sorted({manifest.input_size for manifest in manifests}):
        name = configs.preprocess_name(size)
        files[f"{name}/config.pbtxt"] = _text(configs.preprocess_config(size, manifests))
        files |= _version(name, _PREPROCESS)
    files[f"{configs.NMS}/config.pbtxt"] = _text(configs.nms_config(manifests))
    files |= _version(configs.NMS, _NMS)
    for manifest in manifests:
        files |= _detector(manifest)
    return files


def write(manifests: Sequence[Manifest], root: Path) -> list[Path]:
    """Write the repository, each file atomically, and return the files that changed.

    Files of other detectors under ``root`` are left alone.

    Raises:
        GraphError: a weights file cannot be wrapped; nothing has been written then.
        RepositoryError: two detectors claim one folder, or the folder cannot be written.
    """
    _check_names(manifests)
    files = render(manifests)
    for manifest in manifests:
        graph = graph_of(manifest)
        name = configs.detector_name(manifest.name)
        files[f"{name}/{VERSION}/{SERVING_GRAPH}"] = graph.SerializeToString(deterministic=True)
    try:
        return [root / path for path, content in files.items() if _write(root / path, content)]
    except OSError as error:
        raise RepositoryError(f"{root}: cannot be written: {error}") from None


def graph_of(manifest: Manifest) -> onnx.ModelProto:
    """Wrap a detector's weights as its manifest says.

    Raises:
        GraphError: as :func:`tridet_build.graph.serving_graph`.
    """
    return serving_graph(
        manifest.weights,
        input_size=manifest.input_size,
        classes=len(manifest.labels),
        candidates=manifest.candidates,
        layout=manifest.layout,
    )


def _check_names(manifests: Iterable[Manifest]) -> None:
    """Refuse names whose folders would overlap, ``a`` beside ``a_encoded`` for instance."""
    owners: dict[str, str] = {}
    for manifest in manifests:
        name = manifest.name
        mine = {path.split("/")[0] for path in _detector(manifest)}
        taken = {configs.NMS, configs.preprocess_name(manifest.input_size)} & mine
        for folder in sorted(mine & owners.keys() | taken):
            raise RepositoryError(
                f"detector {name!r}: its folder {folder!r} is that of "
                f"{owners.get(folder, 'a shared step')!r} already; choose another name"
            )
        owners |= dict.fromkeys(mine, name)


def _detector(manifest: Manifest) -> dict[str, bytes]:
    name = configs.detector_name(manifest.name)
    files = {
        f"{name}/config.pbtxt": _text(configs.detector_config(manifest, "tensorrt")),
        **_version(name, _DETECTOR),
    }
    for runtime in configs.RUNTIMES:
        if runtime != "tensorrt":
            config = configs.detector_config(manifest, runtime)
            files[f"{name}/configs/{runtime}.pbtxt"] = _text(config)
    build = {
        "weights": manifest.weights.name,
        "weights_sha256": hashlib.sha256(manifest.weights.read_bytes()).hexdigest(),
    }
    for encoded in (False, True):
        config = configs.ensemble_config(manifest, encoded=encoded, build=build)
        files[f"{config.name}/config.pbtxt"] = _text(config)
        # Triton wants a version folder, and git keeps no empty one.
        files[f"{config.name}/{VERSION}/.gitkeep"] = b""
    return files


def _version(step: str, sources: Mapping[str, Path]) -> dict[str, bytes]:
    return {f"{step}/{VERSION}/{name}": path.read_bytes() for name, path in sources.items()}


def _text(config: ModelConfig) -> bytes:
    return configs.to_text(config).encode()


def _write(path: Path, content: bytes) -> bool:
    """Write the file unless it has that content; tell whether it changed."""
    if path.is_file() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True
