"""In which precision the layers of a network and of a built engine compute.

Strongly typed, a network says it itself: so what was asked can be compared with what the ONNX
holds before the build, and with what was built after it.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
Histogram: TypeAlias = dict[str, int]

_NETWORK_TYPES: Final = {"FLOAT": "fp32", "HALF": "fp16", "INT8": "int8", "BF16": "bf16"}
# What a tensor's type stands under in the inspector's JSON, in small letters, the clearest first:
# TensorRT 11 says DataType and, beside it, Format; TensorRT 10 says both in Format/Datatype.
_TYPE_KEYS: Final = ("datatype", "format/datatype", "format")
# What the inspector calls the types, in the older ("Row major linear FP32") and the newer texts.
# The narrowest first: a layer that reads INT8 and writes FP16 computes in INT8.
_INSPECTOR_TYPES: Final = (
    ("fp8", re.compile(r"\b(fp8|e4m3)", re.IGNORECASE)),
    ("int8", re.compile(r"\bint8\b", re.IGNORECASE)),
    ("fp16", re.compile(r"\b(fp16|half|float16)\b", re.IGNORECASE)),
    ("bf16", re.compile(r"\b(bf16|bfloat16)\b", re.IGNORECASE)),
    ("fp32", re.compile(r"\b(fp32|float|float32|tf32)\b", re.IGNORECASE)),
)
_WEIGHTED: Final = re.compile(r"conv|gemm|matmul|matrix.?multiply", re.IGNORECASE)


def of_network(network: Any) -> Histogram:
    """Count the convolutions and matrix products of a parsed ``INetworkDefinition``.

    One whose input comes from a DequantizeLinear counts as INT8: TensorRT fuses the two.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantized = {layer.get_output(0).name for layer in layers if layer.type.name == "DEQUANTIZE"}
    counts: Counter[str] = Counter()
    for layer in layers:
        if layer.type.name in ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"):
            kind = _NETWORK_TYPES.get(layer.get_output(0).dtype.name, "other")
            counts["int8" if layer.get_input(0).name in dequantized else kind] += 1
    return _sorted(counts)


def of_engine(information: str) -> tuple[Histogram, bool]:
    """Count the layers of an engine that hold weights, from the inspector's JSON.

    Args:
        information: ``EngineInspector.get_engine_information(JSON)`` of an engine built with
            detailed profiling verbosity; other engines give names only, and so an empty count.

    Returns:
        The count, and whether it is of those layers. Where fusion has left none that is known to
        hold weights, all layers with floating point or INT8 tensors are counted instead.
    """
    found = json.loads(information).get("Layers", [])
    layers = [layer for layer in found if isinstance(layer, dict)]
    weighted = [layer for layer in layers if _is_weighted(layer)]
    counts = Counter(filter(None, map(_layer_precision, weighted or layers)))
    return _sorted(counts), bool(weighted)


def achieved(histogram: Mapping[str, int]) -> str:
    """Name the precision of most layers; ``unknown`` where nothing was counted."""
    return max(histogram, key=lambda kind: histogram[kind], default="unknown")


def mismatch(asked: Precision, histogram: Mapping[str, int], share: float) -> str | None:
    """Say with numbers how the layers differ from what was asked; None if they do not.

    FP32 must be all FP32. FP16 and INT8 must reach ``share``, since a head may stay above, and
    FP16 may hold no INT8. Where nothing was counted, nothing is known to be as it was asked.
    """
    total = sum(histogram.values())
    if not total:
        return f"asked for {asked}, but no layer says in which precision it computes"
    lower = {"fp32": set(histogram) - {"fp32"}, "fp16": {"int8", "fp8"}, "int8": set()}[asked]
    count = histogram.get(asked, 0)
    least = total if asked == "fp32" else share * total
    if count >= least and not any(histogram.get(kind) for kind in lower):
        return None
    return (
        f"asked for {asked}, but of {total} convolutions and matrix products {count} are "
        f"{asked} ({describe(histogram)}), expected at least {-(-least // 1):.0f}"
    )


def describe(histogram: Mapping[str, int]) -> str:
    """Put a histogram in words: ``fp16 80, fp32 8``."""
    return ", ".join(f"{kind} {count}" for kind, count in histogram.items()) or "nothing counted"


def _is_weighted(layer: Mapping[str, Any]) -> bool:
    if isinstance(layer.get("Weights"), dict):
        return True
    kinds = f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"
    return bool(_WEIGHTED.search(kinds))


def _layer_precision(layer: Mapping[str, Any]) -> str | None:
    weights = layer.get("Weights")
    texts = [str(weights.get("Type", ""))] if isinstance(weights, dict) else []
    for tensor in (*layer.get("Inputs", ()), *layer.get("Outputs", ())):
        if isinstance(tensor, dict):
            said = {key.lower(): str(value) for key, value in tensor.items()}
            texts += [said[key] for key in _TYPE_KEYS if key in said][:1]
    joined = " ; ".join(texts)
    return next((kind for kind, word in _INSPECTOR_TYPES if word.search(joined)), None)


def _sorted(counts: Counter[str]) -> Histogram:
    return dict(counts.most_common())
