"""Inputs and outputs: of a config, of an ONNX file, and along the steps of an ensemble.

A tensor is its type, in Triton's words, and its axes without the batch, -1 where dynamic. What is
wrong is yielded in words; :mod:`tridet_build.repository.check` says where.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from tridet.processing import contract
from tritonclient.grpc import model_config_pb2 as pb

from tridet_build.errors import CheckError, OnnxError
from tridet_build.repository.configs import detector_name

Tensor: TypeAlias = tuple[str, list[int]]
Tensors: TypeAlias = dict[str, Tensor]

_FIX: Final = "`make repository` again"
# ONNX's element types.
_KINDS: Final = {1: "FP32", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 10: "FP16"}
# The serving graph's own constants that split a prediction; how many are classes comes last.
_SPLITS: Final = ("box_and_classes", "box_object_classes")


class Model(NamedTuple):
    """What an ONNX file says of itself; ``classes`` is None where it does not tell."""

    inputs: Tensors
    outputs: Tensors
    classes: int | None


def config_tensors(tensors: Any) -> Tensors:
    """Return a config's ``input`` or ``output`` field."""
    return {
        tensor.name: (pb.DataType.Name(tensor.data_type).removeprefix("TYPE_"), list(tensor.dims))
        for tensor in tensors
    }


def onnx_model(path: Path) -> Model:
    """Read an ONNX file.

    Raises:
        CheckError: it is damaged.
    """
    from tridet_build.onnx.file import inputs_of, read_onnx

    try:
        model = read_onnx(path)
    except OnnxError as error:
        raise CheckError(f"{error.reason}; {_FIX}") from None
    return Model(
        _onnx_tensors(inputs_of(model)), _onnx_tensors(model.graph.output), _classes(model)
    )


def differences(config: pb.ModelConfig, inputs: Tensors, outputs: Tensors) -> Iterator[str]:
    """Compare a model's tensors with its config's."""
    for side, wanted, found in (
        ("input", config_tensors(config.input), inputs),
        ("output", config_tensors(config.output), outputs),
    ):
        for name in sorted(wanted.keys() | found.keys()):
            if name not in found:
                yield f"{side} {name}: the config has it, the model has not; {_FIX}"
            elif name not in wanted:
                yield f"{side} {name}: the model has it, the config has not; {_FIX}"
            elif not fits(wanted[name], found[name]) or (
                side == "input" and _narrows(wanted[name], found[name])
            ):
                yield (
                    f"{side} {name}: expected {text(wanted[name])}, as in the config, got "
                    f"{text(found[name])}; {_FIX}"
                )


def ensemble(config: pb.ModelConfig, models: Mapping[str, pb.ModelConfig]) -> Iterator[str]:
    """Check that the steps exist, and that what one gives is what the next takes."""
    known = config_tensors(config.input)
    for step in config.ensemble_scheduling.step:
        model = models.get(step.model_name)
        if model is None:
            yield f"step {step.model_name}: no such model; {_FIX}"
            continue
        if config.max_batch_size > model.max_batch_size:
            yield (
                f"max_batch_size: expected at most {model.max_batch_size}, that of step "
                f"{step.model_name}, got {config.max_batch_size}"
            )
        yield from _mapped(step, model, known)
    for step in config.ensemble_scheduling.step:
        for outer in step.input_map.values():
            if outer not in known:
                yield f"step {step.model_name}: nothing gives {outer}"
    for output in config.output:
        if output.name not in known:
            yield f"output {output.name}: no step gives it"


def labels(config: pb.ModelConfig, classes: Mapping[str, int]) -> Iterator[str]:
    """Check the class names that clients read, against the classes of each detector.

    Args:
        config: of an ensemble.
        classes: how many, by the name of the detector's step.
    """
    if contract.PARAM_GROUP in config.parameters:
        members = _parsed(config, contract.PARAM_GROUP)
        if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
            yield f"{contract.PARAM_GROUP}: expected a JSON array of objects"
            return
        steps = {step.model_name for step in config.ensemble_scheduling.step}
        for member in members:
            name = str(member.get("name"))
            if detector_name(name) not in steps:
                yield f"{contract.PARAM_GROUP}: {name}: no step {detector_name(name)}; {_FIX}"
            wanted = classes.get(detector_name(name))
            yield from _names(f"{contract.PARAM_GROUP}: {name}", member.get("labels"), wanted)
    elif contract.PARAM_LABELS in config.parameters:
        wanted = next(iter(classes.values())) if len(classes) == 1 else None
        yield from _names(contract.PARAM_LABELS, _parsed(config, contract.PARAM_LABELS), wanted)


def sizes_asked(detector: str, models: Mapping[str, pb.ModelConfig]) -> tuple[int, int] | None:
    """Return the smallest and the largest input size, in pixels, that clients may ask for.

    Args:
        detector: name of the step.
        models: all configs of the repository.

    Returns:
        None if there is no choice.
    """
    for config in models.values():
        steps = {step.model_name for step in config.ensemble_scheduling.step}
        if detector in steps and contract.PARAM_INPUT_SIZES in config.parameters:
            match _parsed(config, contract.PARAM_INPUT_SIZES):
                case [int(smallest), int(largest)]:
                    return smallest, largest
    return None


def fits(wanted: Tensor, found: Tensor) -> bool:
    """Compare types and axes; -1 on either side fits any."""
    return (
        wanted[0] == found[0]
        and len(wanted[1]) == len(found[1])
        and all(-1 in pair or pair[0] == pair[1] for pair in zip(wanted[1], found[1], strict=True))
    )


def text(tensor: Tensor) -> str:
    """Put a tensor in words: ``FP32 [300, 4]``."""
    return f"{tensor[0]} {tensor[1]}"


def _narrows(wanted: Tensor, found: Tensor) -> bool:
    """Tell whether the model fixes an axis of its input that the config leaves open."""
    return any(want == -1 != got for want, got in zip(wanted[1], found[1], strict=True))


def _mapped(step: Any, model: pb.ModelConfig, known: Tensors) -> Iterator[str]:
    """Check one step's maps; adds what it gives to ``known``."""
    inputs, outputs = config_tensors(model.input), config_tensors(model.output)
    for inner, outer in sorted(step.input_map.items()):
        if inner not in inputs:
            yield f"step {step.model_name}: has no input {inner}"
        elif outer in known and not fits(inputs[inner], known[outer]):
            yield (
                f"step {step.model_name}: input {inner}: expected {text(inputs[inner])}, got "
                f"{text(known[outer])} from {outer}"
            )
    for needed in model.input:
        if not needed.optional and needed.name not in step.input_map:
            yield f"step {step.model_name}: input {needed.name}: nothing is given to it"
    for inner, outer in sorted(step.output_map.items()):
        if inner not in outputs:
            yield f"step {step.model_name}: has no output {inner}"
        else:
            known[outer] = outputs[inner]


def _parsed(config: pb.ModelConfig, key: str) -> Any:
    try:
        return json.loads(config.parameters[key].string_value)
    except ValueError:
        return None


def _names(where: str, names: Any, classes: int | None) -> Iterator[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield f"{where}: expected a JSON array of names"
    elif classes is not None and len(names) != classes:
        yield (
            f"{where}: expected {classes} names, one per class of the detector, got {len(names)}; "
            f"{_FIX}"
        )


def _classes(model: Any) -> int | None:
    """Count the classes: from the split of the prediction, else from the exporter's names."""
    import onnx

    from tridet_build.onnx.file import metadata_of
    from tridet_build.onnx.labels import class_names

    for tensor in model.graph.initializer:
        if tensor.name in _SPLITS:
            return int(onnx.numpy_helper.to_array(tensor)[-1])
    names = class_names(metadata_of(model))
    return None if names is None else len(names)


def _onnx_tensors(side: Any) -> Tensors:
    return {
        tensor.name: (
            _KINDS.get(tensor.type.tensor_type.elem_type, "?"),
            [axis.dim_value or -1 for axis in tensor.type.tensor_type.shape.dim][1:],
        )
        for tensor in side
    }
