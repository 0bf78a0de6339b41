"""What this machine has: the version of TensorRT, and its GPUs.

Found without TensorRT's Python package where need be, which the serving container may lack.
"""

import ctypes
import os
import re
import subprocess
from collections.abc import Iterable
from typing import Final

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

# The newest first: where two are installed, tritonserver of a recent release loads the newer.
_LIBRARIES: Final = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so")
# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
_COMPUTE_CAPABILITY: Final = (75, 76)
_NVIDIA_SMI: Final = ("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Gpu:
    """A GPU.

    Attributes:
        name: as the driver gives it, ``NVIDIA L4`` for instance.
        compute_capability: major and minor, ``8.9`` for instance.
    """

    name: str
    compute_capability: str

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"

    @property
    def major(self) -> int:
        """Major part of the compute capability."""
        return int(self.compute_capability.partition(".")[0])


def tensorrt_version(libraries: Iterable[str] = _LIBRARIES) -> str | None:
    """Return the version of TensorRT, ``10.14.1.48`` for instance, or None if there is none.

    Asks the Python package, then the library itself, then TRT_VERSION of NVIDIA's containers.
    """
    try:
        import tensorrt

        version = getattr(tensorrt, "__version__", None)  # a namespace left behind has none
        if version:
            return str(version)
    except Exception:  # absent, or present and broken (no libcuda): the library may still tell
        pass
    for library in libraries:
        found = _library_version(library)
        if found:
            return found
    declared = re.match(r"\d+(\.\d+){2,3}", os.environ.get("TRT_VERSION", ""))
    return declared.group() if declared else None


def gpus() -> list[Gpu]:
    """List the GPUs that a program here may use; none without a driver.

    Asks the driver's library, which heeds CUDA_VISIBLE_DEVICES, then nvidia-smi.
    """
    return _driver_gpus() or _smi_gpus()


def _library_version(library: str) -> str | None:
    try:
        loaded = ctypes.CDLL(library)
        parts = [
            getattr(loaded, f"getInferLib{part}Version")()
            for part in ("Major", "Minor", "Patch", "Build")
        ]
    except (OSError, AttributeError):  # not there, or older than TensorRT 10
        return None
    return ".".join(map(str, parts))


def _driver_gpus(library: str = "libcuda.so.1") -> list[Gpu]:
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return []
    found = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        parts = (ctypes.c_int(), ctypes.c_int())
        for part, attribute in zip(parts, _COMPUTE_CAPABILITY, strict=True):
            cuda.cuDeviceGetAttribute(ctypes.byref(part), attribute, device)
        capability = ".".join(str(part.value) for part in parts)
        found.append(Gpu(name.value.decode(), capability))
    return found


def _smi_gpus() -> list[Gpu]:
    try:
        done = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    rows = re.findall(r"^(.+),\s*(\d+\.\d+)\s*$", done.stdout, flags=re.MULTILINE)
    return [Gpu(name.strip(), capability) for name, capability in rows]
