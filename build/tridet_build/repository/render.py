"""Assemble the Triton model repository of one or several detectors.

preprocess_<sizes>/     Python step, one per input size, or per span of them
nms/                    Python step, shared by all
<name>_detector/        the serving graph: config.pbtxt for TensorRT, configs/ for other runtimes
<name>/ <name>_encoded/ the ensembles that clients call, one pair per detector and per group
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from google.protobuf import text_format
from tridet import processing
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tridet_build import steps
from tridet_build.errors import RepositoryError
from tridet_build.files import write_atomically
from tridet_build.manifest.groups import Group
from tridet_build.manifest.manifest import Manifest
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.file import weights_sha256
from tridet_build.onnx.serving_graph import graph_of
from tridet_build.repository import configs

Build: TypeAlias = Mapping[str, str]
"""Facts about what is served, shown to clients as ``tridet.build``."""
Builds: TypeAlias = Mapping[str, Build]

VERSION: Final = "1"
SERVING_GRAPH: Final = "model.onnx"

_STEPS: Final = Path(steps.__file__).parent
# What stands in the version folder of each kind of step: its name there, and its source. A version
# folder comes last on the Python path of its step, so the names must be nobody else's.
_PROCESSING: Final = {
    f"tridet_processing/{path.name}": path
    for path in sorted(Path(processing.__file__).parent.glob("*.py"))
}
_SHARED: Final = {**_PROCESSING, "tridet_tensors.py": _STEPS / "tensors.py"}
_ADMITTING: Final = {**_SHARED, "tridet_admission.py": _STEPS / "admission.py"}
_PREPROCESS: Final = {"model.py": _STEPS / "preprocess_model.py", **_ADMITTING}
_NMS: Final = {"model.py": _STEPS / "nms_model.py", **_ADMITTING}
_DETECTOR: Final = {"model.py": _STEPS / "detector_model.py", **_SHARED}
_NO_BUILDS: Final[Builds] = MappingProxyType({})
_NO_GRAPHS: Final[Mapping[str, bytes]] = MappingProxyType({})


def render(
    manifests: Sequence[Manifest],
    groups: Sequence[Group] = (),
    *,
    co_served: Sequence[Manifest] = (),
    builds: Builds = _NO_BUILDS,
) -> dict[str, bytes]:
    """Render every text file of the repository: relative path to content.

    The serving graphs, which are large and quick to make, are not part of it. The arguments are
    those of :func:`write`.
    """
    files: dict[str, bytes] = {}
    co_served = co_served or manifests
    for size in sorted({manifest.input_size for manifest in co_served}):
        name = configs.preprocess_name(size)
        files[f"{name}/config.pbtxt"] = _text(configs.preprocess_config(size, co_served))
        files |= _version(name, _PREPROCESS)
    files[f"{configs.NMS}/config.pbtxt"] = _text(configs.nms_config(co_served))
    files |= _version(configs.NMS, _NMS)
    for manifest in manifests:
        files |= _detector(manifest, builds.get(manifest.name))
    for group in groups:
        files |= _group(group, builds)
    return files


def write(
    manifests: Sequence[Manifest],
    root: Path,
    groups: Sequence[Group] = (),
    *,
    co_served: Sequence[Manifest] = (),
    builds: Builds = _NO_BUILDS,
    graphs: Mapping[str, bytes] = _NO_GRAPHS,
    alone: bool = False,
) -> list[Path]:
    """Write the repository, each file atomically, and return the files that changed.

    Files of other detectors under ``root`` are left alone, and the steps that they share with these
    go on taking their batches.

    Args:
        manifests: the detectors to write, with ONNX weights and labels.
        root: the repository.
        groups: the groups to write.
        co_served: all detectors that the shared steps serve; ``manifests`` if empty.
        builds: by detector, facts for its ``tridet.build``; those of its weights if missing.
        graphs: by detector, its serving graph where that is made already.
        alone: there are no other detectors under ``root``, or they are about to be removed.

    Raises:
        OnnxError, GraphError: a weights file cannot be wrapped; nothing has been written then.
        RepositoryError: two of them claim one folder, or the folder cannot be written.
    """
    _check_names(manifests, groups)
    files = render(manifests, groups, co_served=co_served, builds=builds)
    if not alone:
        _keep_batches(files, root, [m.input_size for m in co_served or manifests])
    for manifest in manifests:
        name = configs.detector_name(manifest.name)
        graph = graphs.get(manifest.name) or graph_of(manifest)
        files[f"{name}/{VERSION}/{SERVING_GRAPH}"] = graph
    try:
        return [root / path for path, content in files.items() if _write(root / path, content)]
    except OSError as error:
        raise RepositoryError(f"{root}: cannot be written: {error}") from None


def folders(manifests: Sequence[Manifest], groups: Iterable[Group]) -> set[str]:
    """Return the model folders that these detectors, their shared steps and the groups have."""
    names = {configs.NMS, *(configs.preprocess_name(m.input_size) for m in manifests)}
    names |= {configs.detector_name(m.name) for m in manifests}
    for name in (one.name for part in (manifests, groups) for one in part):
        names.update(configs.ensemble_names(name))
    return names


def _keep_batches(files: dict[str, bytes], root: Path, sizes: Iterable[Sizes]) -> None:
    """Let no shared step take smaller batches than before: Triton refuses an ensemble of larger."""
    for step in {configs.NMS, *map(configs.preprocess_name, sizes)}:
        path = f"{step}/config.pbtxt"
        try:
            before = text_format.Parse((root / path).read_bytes(), ModelConfig())
        except (OSError, text_format.ParseError):
            continue
        config = text_format.Parse(files[path], ModelConfig())
        config.max_batch_size = max(config.max_batch_size, before.max_batch_size)
        files[path] = _text(config)


def _check_names(manifests: Sequence[Manifest], groups: Iterable[Group]) -> None:
    """Refuse names whose folders would overlap, ``a`` beside ``a_encoded`` for instance."""
    owners: dict[str, str] = {}
    shared = {configs.NMS, *(configs.preprocess_name(m.input_size) for m in manifests)}
    claims = [
        *(("detector", manifest.name, _detector(manifest)) for manifest in manifests),
        *(("group", group.name, _group(group)) for group in groups),
    ]
    for kind, name, files in claims:
        mine = {path.split("/")[0] for path in files}
        for folder in sorted(mine & (owners.keys() | shared)):
            raise RepositoryError(
                f"{kind} {name!r}: its folder {folder!r} is that of "
                f"{owners.get(folder, 'a shared step')!r} already; choose another name"
            )
        owners |= dict.fromkeys(mine, name)


def _detector(manifest: Manifest, build: Build | None = None) -> dict[str, bytes]:
    name = configs.detector_name(manifest.name)
    files = {
        f"{name}/config.pbtxt": _text(configs.detector_config(manifest, "tensorrt")),
        **_version(name, _DETECTOR),
    }
    for runtime in configs.RUNTIMES:
        if runtime != "tensorrt":
            config = configs.detector_config(manifest, runtime)
            files[f"{name}/configs/{runtime}.pbtxt"] = _text(config)
    build = build or _build(manifest)
    for encoded in (False, True):
        files |= _ensemble(configs.ensemble_config(manifest, encoded=encoded, build=build))
    return files


def _group(group: Group, builds: Builds = _NO_BUILDS) -> dict[str, bytes]:
    builds = {member.name: builds.get(member.name) or _build(member) for member in group.members}
    files: dict[str, bytes] = {}
    for encoded in (False, True):
        files |= _ensemble(configs.group_config(group, encoded=encoded, builds=builds))
    return files


def _build(manifest: Manifest) -> Build:
    return {
        "weights": manifest.weights.name,
        "weights_sha256": weights_sha256(manifest.weights),
    }


def _ensemble(config: ModelConfig) -> dict[str, bytes]:
    # Triton wants a version folder, and git keeps no empty one.
    return {
        f"{config.name}/config.pbtxt": _text(config),
        f"{config.name}/{VERSION}/.gitkeep": b"",
    }


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
