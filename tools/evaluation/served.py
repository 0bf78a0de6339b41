"""What the server runs behind a model's name, which the model itself does not tell."""

from __future__ import annotations

from typing import Any

from tridet import ServerUnreachable
from tridet.channel import target_from_url


def steps_of(url: str, model: str) -> dict[str, Any]:
    """Return the ensemble's steps: of each its backend, its outputs' shapes and its parameters.

    A detector whose candidates, backend or version changed gives other predictions, even where its
    weights are the same.

    Raises:
        ServerUnreachable: the server does not say.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    try:
        with InferenceServerClient(target_from_url(url)) as client:

            def config(name: str) -> dict[str, Any]:
                answer: dict[str, Any] = client.get_model_config(name, as_json=True)["config"]
                return answer

            ensemble = config(model)
            steps = ensemble.get("ensemble_scheduling", {}).get("step", [])
            names = sorted({step["model_name"] for step in steps})
            return {name: _essence(config(name)) for name in names}
    except InferenceServerException as error:
        raise ServerUnreachable(f"{url}: cannot read the steps of {model!r}: {error}") from error


def _essence(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "backend": config.get("backend") or config.get("platform"),
        "outputs": {each["name"]: each.get("dims", []) for each in config.get("output", [])},
        "parameters": {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        },
    }
