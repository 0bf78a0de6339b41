"""Stand-ins around a plan: its first bytes, the graph it is built from, what an inspector says."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser
from tridet_build.manifest.sizes import Span
from tridet_build.plan.settings import PlanSettings

SIZE = 64
SMALL = PlanSettings(batch=Span(1, 2, 4), size=Span.only(SIZE))
TENSORRT = b"ftrt" + bytes(20) + bytes([10, 14, 1, 48]) + bytes(100)
RTX = b"vtrt" + bytes(20) + bytes([1, 7, 1, 116]) + bytes(100)


def wrapped(plan: bytes = TENSORRT, **metadata: object) -> bytes:
    """What Ultralytics' exporter writes: length, JSON, plan."""
    text = json.dumps({"stride": 32, "names": {"0": "cat"}, **metadata}).encode()
    return struct.pack("<i", len(text)) + text + plan


def write_graph(
    path: Path, kind: str = "fp32", operator: str = "Relu", size: str = f"{SIZE}, {SIZE}"
) -> Path:
    """A graph with the input of a serving graph and one convolution in the given precision."""
    number = "float16" if kind == "fp16" else "float"
    quantized = """
    q = QuantizeLinear (planes, scale, zero)
    ready = DequantizeLinear (q, scale, zero)
    wq = QuantizeLinear (weight, scale, zero)
    w = DequantizeLinear (wq, scale, zero)"""
    graph = parser.parse_graph(
        f"""
        graph (uint8[batch, {size}, 3] images) => ({number}[batch, 4, h, w] out)
        {{
            pixels = Cast <to = {10 if kind == "fp16" else 1}> (images)
            planes = Transpose <perm = [0, 3, 1, 2]> (pixels)
            {quantized if kind == "int8" else "ready = Identity (planes)  w = Identity (weight)"}
            found = Conv (ready, w)
            out = {operator} (found)
        }}"""
    )
    float_type = np.float16 if kind == "fp16" else np.float32
    constants = {"weight": np.full((4, 3, 3, 3), 0.1, float_type)}
    if kind == "int8":
        constants |= {"scale": np.array(0.05, np.float32), "zero": np.array(0, np.int8)}
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    opsets = [onnx.helper.make_opsetid("", 19), onnx.helper.make_opsetid("my.domain", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def layer(
    kind: str, read: str, write: str, weights: str | None = None, key: str = "Format/Datatype"
) -> dict[str, Any]:
    """A layer in the inspector's JSON, as of TensorRT 10; of TensorRT 11 with ``DataType``."""
    beside = {} if "/" in key else {"Format": "kLINEAR"}
    return {
        "Name": "any",
        "LayerType": kind,
        "Inputs": [{"Name": "a", key: read, **beside}],
        "Outputs": [{"Name": "b", key: write, **beside}],
        **({"Weights": {"Type": weights, "Count": 9}} if weights else {}),
    }
