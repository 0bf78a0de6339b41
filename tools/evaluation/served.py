"""What the server runs behind a model's name, which the model itself does not tell."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from google.protobuf.json_format import MessageToDict
from tridet.server_info import ServerInfo

_TIMEOUT_S = 10.0


def steps_of(url: str, model: str) -> dict[str, Any]:
    """Return the ensemble's steps: of each its backend, its outputs' shapes and its parameters.

    A detector whose candidates, backend or version changed gives other predictions, even where its
    weights are the same.

    Raises:
        TridetError: the server does not say.
    """
    with ServerInfo(url, None, _TIMEOUT_S) as info:
        configs = [
            MessageToDict(config, preserving_proto_field_name=True)
            for config in info.step_configs(model)
        ]
    return {config["name"]: _essence(config) for config in sorted(configs, key=itemgetter("name"))}


def _essence(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "backend": config.get("backend") or config.get("platform"),
        "outputs": {each["name"]: each.get("dims", []) for each in config.get("output", [])},
        "parameters": {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        },
    }
