"""Check a rendered repository before a server loads it.

Each config parses and fits the model beside it, the steps of an ensemble exist and fit one
another, and the plans fit the machine. Reads only; says all that is wrong, not just the first.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from google.protobuf import text_format
from rich.table import Table
from tridet.processing import contract
from tritonclient.grpc import model_config_pb2 as pb

from tridet_build.chain.record import RECORD_FILE, BuildRecord, read_record
from tridet_build.errors import BuildError, CheckError, first_line
from tridet_build.files import sha256_of
from tridet_build.plan.file import identify
from tridet_build.repository.check_tensors import (
    config_tensors,
    differences,
    ensemble,
    labels,
    onnx_model,
    sizes_asked,
)
from tridet_build.repository.configs import Runtime
from tridet_build.repository.preflight import Machine, outdated, preflight, this_machine

CONFIG: Final = "config.pbtxt"
ONNX: Final = "model.onnx"
PLAN: Final = "model.plan"

# TensorRT's element types.
_KINDS: Final = {"UINT8": "UINT8", "FLOAT": "FP32", "HALF": "FP16", "INT32": "INT32"}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        level: ``error`` if the server would not start or would answer wrongly.
        path: of the file or folder, inside the repository; tritonserver for the server itself.
        message: what was expected, what was found, and the fix.
    """

    level: Literal["error", "warning"]
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.path}: {self.message}"


def check(
    repository: Path, *, runtime: Runtime = "onnxruntime", here: Machine | None = None
) -> list[Finding]:
    """Check everything that tritonserver would load.

    Args:
        repository: a folder with a folder per model.
        runtime: which config of a detector counts, as ``--model-config-name`` chooses it;
            ``tensorrt`` also compares the plans with the machine.
        here: the machine that will load them; None looks at this one.

    Returns:
        What is wrong, errors and warnings, in the order of the folders; empty if all is well.

    Raises:
        CheckError: no such folder, or no model in it.
    """
    if not repository.is_dir():
        raise CheckError(f"{repository}: no such repository; `make repository` makes it")
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    folders = [path for path in folders if not path.name.startswith((".", "_"))]
    if not folders:
        raise CheckError(f"{repository}: expected a folder per model, found none")
    if runtime == "tensorrt" and here is None:
        here = this_machine()
    findings: list[Finding] = []
    if old := outdated(os.environ.get("NVIDIA_TRITON_SERVER_VERSION")):
        findings.append(Finding("warning", "tritonserver", old))
    configs: dict[str, pb.ModelConfig] = {}
    for folder in folders:
        try:
            configs[folder.name] = _config(folder, runtime)
        except CheckError as error:
            findings.append(Finding("error", f"{folder.name}/{CONFIG}", str(error)))
    for name, config in configs.items():
        findings += _model(repository / name, config, configs, runtime, here)
    return findings


def failed(findings: list[Finding]) -> bool:
    """Tell whether a server should not be started."""
    return any(finding.level == "error" for finding in findings)


def table(findings: list[Finding]) -> Table:
    """Show findings to a person."""
    rows = Table("", "where", "what")
    for finding in findings:
        rows.add_row(finding.level, finding.path, finding.message)
    return rows


def _config(folder: Path, runtime: Runtime) -> pb.ModelConfig:
    """Parse the config that counts, as tritonserver chooses it."""
    chosen = folder / "configs" / f"{runtime}.pbtxt"
    path = chosen if runtime != "tensorrt" and chosen.is_file() else folder / CONFIG
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except FileNotFoundError:
        raise CheckError("no such file; a folder here must hold a model") from None
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        first = first_line(error)
        raise CheckError(f"{path.name}: does not parse: {first}") from None
    if config.name and config.name != folder.name:
        raise CheckError(f"name: expected {folder.name!r}, the folder's, got {config.name!r}")
    return config


def _model(
    folder: Path,
    config: pb.ModelConfig,
    configs: dict[str, pb.ModelConfig],
    runtime: Runtime,
    here: Machine | None,
) -> Iterator[Finding]:
    versions = _versions(folder)
    if not versions:
        yield Finding("error", folder.name, "expected a version folder `1`, found none")
    if config.platform == "ensemble":
        classes = dict(_classes(folder.parent, config))
        for problem in (*ensemble(config, configs), *labels(config, classes)):
            yield Finding("error", f"{folder.name}/{CONFIG}", problem)
        return
    for version in versions:
        yield from _files(folder.name, version, config)
        if (version / PLAN).is_file():
            sizes = sizes_asked(folder.name, configs)
            yield from _plan(folder.name, version, config, sizes, runtime, here)


def _files(name: str, version: Path, config: pb.ModelConfig) -> Iterator[Finding]:
    where = f"{name}/{version.name}"
    detects = contract.SCORES in config_tensors(config.output)
    match config.backend or config.platform:
        case "python":
            wanted = ["model.py", ONNX] if detects else ["model.py"]
        case "onnxruntime_onnx":
            wanted = [ONNX]
        case "tensorrt_plan":
            wanted = [PLAN]
        case _:
            wanted = []
    for file in wanted:
        if not (version / file).is_file():
            fix = "make plans" if file == PLAN else "make repository"
            yield Finding("error", f"{where}/{file}", f"no such file; `{fix}` makes it")
    if (version / ONNX).is_file():
        try:
            model = onnx_model(version / ONNX)
            problems = list(differences(config, model.inputs, model.outputs))
        except CheckError as error:
            problems = [str(error)]
        for problem in problems:
            yield Finding("error", f"{where}/{ONNX}", problem)


def _classes(repository: Path, config: pb.ModelConfig) -> Iterator[tuple[str, int]]:
    """Yield each detector among an ensemble's steps, and its classes, where its ONNX tells."""
    for step in config.ensemble_scheduling.step:
        for version in _versions(repository / step.model_name):
            if (version / ONNX).is_file():
                try:
                    classes = onnx_model(version / ONNX).classes
                except CheckError:  # said of the file itself
                    continue
                if classes is not None:
                    yield step.model_name, classes


def _versions(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())


def _plan(
    name: str,
    version: Path,
    config: pb.ModelConfig,
    sizes: tuple[int, int] | None,
    runtime: Runtime,
    here: Machine | None,
) -> Iterator[Finding]:
    where = f"{name}/{version.name}/{PLAN}"
    # Another runtime leaves the plan alone, so what is wrong with it is only a warning.
    served = runtime == "tensorrt"
    found = identify(version / PLAN)
    record: BuildRecord | None = None
    try:
        record = read_record(version / RECORD_FILE)
    except BuildError as error:
        if (version / RECORD_FILE).exists():
            yield Finding("warning", f"{name}/{version.name}/{RECORD_FILE}", _reason(error))
    if here is None:
        if found.problem:
            yield Finding("warning", where, found.problem)
        return
    fatal = False
    for verdict in preflight(found, record, here):
        fatal |= verdict.fatal
        yield Finding("error" if verdict.fatal and served else "warning", where, verdict.text)
    if record and record.plan and record.plan.bytes != (version / PLAN).stat().st_size:
        yield Finding(
            "warning",
            where,
            f"expected {record.plan.bytes} bytes, as in {RECORD_FILE}, got "
            f"{(version / PLAN).stat().st_size}; the two are of different builds",
        )
    graph = version / ONNX
    if served and record and graph.is_file() and sha256_of(graph) != record.graph.sha256:
        yield Finding(
            "error",
            where,
            f"built from another serving graph than the {ONNX} beside it; "
            "`make plans` builds it again, and skips what is unchanged",
        )
    if served and not fatal:
        yield from _plan_tensors(where, version / PLAN, config, sizes)


def _plan_tensors(
    where: str, plan: Path, config: pb.ModelConfig, sizes: tuple[int, int] | None
) -> Iterator[Finding]:
    """Compare with the engine's own tensors, where TensorRT's Python package can load it."""
    try:
        from tridet_build.plan.inspect import engine_info

        info = engine_info(plan)
    except ImportError:
        return
    except BuildError as error:
        if "needs Polygraphy" not in str(error):  # the serving container need not have it
            yield Finding("error", where, _reason(error))
        return
    tensors = [(t, (_KINDS.get(t.kind, t.kind), list(t.shape)[1:])) for t in info.tensors]
    inputs = {tensor.name: value for tensor, value in tensors if tensor.is_input}
    outputs = {tensor.name: value for tensor, value in tensors if not tensor.is_input}
    for problem in differences(config, inputs, outputs):
        yield Finding("error", where, problem)
    for tensor in info.tensors:
        if tensor.is_input and tensor.profiles:
            largest = max(profile[2][0] for profile in tensor.profiles)
            if largest < config.max_batch_size:
                yield Finding(
                    "error",
                    where,
                    f"expected batches up to {config.max_batch_size} (max_batch_size), the plan's "
                    f"profile ends at {largest}; build it with the manifest's batch.max",
                )
            # [N, H, W, 3], and the picture is square.
            low = min(profile[0][1] for profile in tensor.profiles)
            high = max(profile[2][1] for profile in tensor.profiles)
            if sizes and not low <= sizes[0] <= sizes[1] <= high:
                yield Finding(
                    "error",
                    where,
                    f"expected input sizes from {sizes[0]} to {sizes[1]}, as clients may ask for, "
                    f"the plan's profile is from {low} to {high}; build it with the manifest's "
                    "input_size",
                )


def _reason(error: BuildError) -> str:
    """Drop the path in front: a finding has its own."""
    return str(error).partition(": ")[2] or str(error)
