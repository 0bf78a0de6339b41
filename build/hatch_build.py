"""What tridet-build requires: the client of the same version, and the packages below."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

DEPENDENCIES = [
    "onnx>=1.20",
    "onnxruntime>=1.20",
    "pydantic>=2.7",
    "rich>=13.7",
    "tomli>=2; python_version < '3.11'",
    "tritonclient[grpc]>=2.50",
]


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = [f"tridet=={metadata['version']}", *DEPENDENCIES]
