"""Tell from its first bytes what a file named ``model.plan`` is, and unwrap an Ultralytics engine.

Needs no TensorRT: a plan says in its header which version wrote it.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tridet_build.errors import PlanFileError
from tridet_build.files import write_atomically

Kind: TypeAlias = Literal["tensorrt", "tensorrt-rtx", "ultralytics", "onnx", "text", "empty", "?"]
Flavour: TypeAlias = Literal["tensorrt", "tensorrt-rtx"]

# NVIDIA's own trtexec reads a plan's header so (--getPlanVersionOnly): a tag, a serialization
# version, and in bytes 24 to 27 the version of TensorRT.
_TAGS: Final[dict[bytes, Flavour]] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
_VERSION: Final = slice(24, 28)
# Far more than any header; of an Ultralytics engine's JSON too.
_HEAD: Final = 1 << 16
_LONGEST_METADATA: Final = 1 << 24


@dataclass(frozen=True)
class PlanFile:
    """What a file is.

    Attributes:
        kind: what its first bytes say.
        version: of the TensorRT that wrote the plan (inside), where the header tells.
        offset: where the plan starts in bytes; 0 unless something is in front of it.
        metadata: what Ultralytics wrote in front.
    """

    kind: Kind
    version: str | None = None
    offset: int = 0
    metadata: dict[str, Any] | None = None

    @property
    def problem(self) -> str | None:
        """Why Triton cannot load it, with the fix; None for a plan of TensorRT."""
        match self.kind:
            case "tensorrt":
                return None
            case "tensorrt-rtx":
                return (
                    f"compiled with TensorRT for RTX {self.version}, which Triton does not load; "
                    "build it with TensorRT (`docker compose run --rm builder`)"
                )
            case "ultralytics":
                inside = f" (TensorRT {self.version} inside)" if self.version else ""
                return (
                    f"an Ultralytics .engine{inside}, not a plan: a JSON header stands in front, "
                    "and it holds the plain detector, not tridet's serving graph; build it with "
                    "`make plan` from the ONNX or .pt instead"
                )
            case "onnx":
                return (
                    "an ONNX file under the name of a plan; name it model.onnx, or build a plan "
                    "from it with `make plan`"
                )
            case "text":
                return (
                    "a text file, not a plan (a Git LFS pointer or a failed download?); fetch or "
                    "build the real file"
                )
            case "empty":
                return "an empty file; build it again with `make plan`"
            case _:
                return "not a TensorRT plan: its first bytes are unknown; build it with `make plan`"


def identify(path: Path) -> PlanFile:
    """Read the first bytes of a file and say what it is.

    Raises:
        PlanFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if not head:
                return PlanFile("empty")
            plain = _plan(head)
            if plain:
                return plain
            length = struct.unpack("<i", head[:4])[0] if len(head) >= 4 else 0
            # Ultralytics' exporter: the JSON's length, the JSON, then the plan.
            if head[4:5] == b"{" and 2 <= length <= _LONGEST_METADATA:
                file.seek(4)
                metadata = _json_object(file.read(length))
                if metadata is not None:
                    inside = _plan(file.read(_HEAD))
                    version = inside.version if inside else None
                    return PlanFile("ultralytics", version, 4 + length, metadata)
    except OSError as error:
        raise PlanFileError(f"{path}: cannot be read: {error.strerror}") from None
    if _is_text(head):
        return PlanFile("text")
    if _is_onnx(head):
        return PlanFile("onnx")
    return PlanFile("?")


def unwrap(engine: Path, out: Path, *, tensorrt: str | None) -> PlanFile:
    """Write the bare plan of an Ultralytics ``.engine``, in one step.

    What comes out takes and gives Ultralytics' tensors (``images`` FP32, ``output0``), not those
    of the contract: it serves a config of your own, not a tridet detector.

    Args:
        engine: the file that Ultralytics wrote.
        out: where the plan goes.
        tensorrt: version that will load it; must be the one inside.

    Raises:
        PlanFileError: not such a file, another version of TensorRT, or ``out`` cannot be written.
    """
    found = identify(engine)
    if found.kind != "ultralytics":
        raise PlanFileError(f"{engine}: expected an Ultralytics .engine, found {found.kind}")
    if found.version is None:
        raise PlanFileError(f"{engine}: expected a plan behind the JSON header, found none")
    if tensorrt is None or not same_version(found.version, tensorrt):
        raise PlanFileError(
            f"{engine}: holds a plan of TensorRT {found.version}, expected "
            f"{tensorrt or 'a version, found no TensorRT here'}; export it again in the container "
            "that will serve it"
        )
    try:
        write_atomically(out, engine.read_bytes()[found.offset :])
    except OSError as error:
        raise PlanFileError(f"{out}: cannot be written: {error.strerror}") from None
    return found


def same_version(first: str, second: str) -> bool:
    """Compare versions as far as both go: 10.14.1 and 10.14.1.48 are the same."""
    return all(a == b for a, b in zip(_parts(first), _parts(second), strict=False))


def _plan(head: bytes) -> PlanFile | None:
    kind = _TAGS.get(head[:4])
    if kind is None:
        return None
    version = head[_VERSION]
    return PlanFile(kind, ".".join(map(str, version)) if len(version) == 4 else None)


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_text(head: bytes) -> bool:
    try:
        text = head[:512].decode("ascii")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n" for character in text)


def _is_onnx(head: bytes) -> bool:
    """ONNX has no magic number: field 1 (the IR version) comes first, then the producer or graph.

    See ``ModelProto`` of the specification; every exporter writes the fields in order.
    """
    return len(head) > 2 and head[0] == 0x08 and 3 <= head[1] <= 0x40 and head[2] & 0x07 == 2


def _parts(version: str) -> list[str]:
    return version.split("+")[0].split(".")
