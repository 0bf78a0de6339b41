"""In which precision layers compute, as networks and inspectors say it."""

import json
from typing import Any

import pytest
from plan_files import layer
from tridet_build.plan import layers as plan_layers


def test_of_engine_reads_old_and_new_words() -> None:
    layers = [
        layer("CaskConvolution", "Row major linear FP32", "Row major linear FP32", "Float"),
        layer("CaskConvolution", "Half", "Half", "Half"),
        layer("gemm", "Channel major FP16 format where channel % 8 == 0", "Half"),
        layer("CaskConvolution", "Int8", "Half", "Int8"),
        layer("Reformat", "UInt8", "Float"),
    ]
    histogram, weighted = plan_layers.of_engine(json.dumps({"Layers": layers}))
    assert histogram == {"fp16": 2, "fp32": 1, "int8": 1}
    assert weighted


def test_of_engine_reads_tensorrt_11() -> None:
    """It says the type in a field of its own, and inputs and outputs as objects."""
    layers = [
        layer("CaskConvolution", "Float", "Float", "Float", key="DataType"),
        layer("CaskConvolution", "Half", "Half", key="DataType"),
        layer("gemm", "Int8", "Half", key="DataType"),
        layer("Reformat", "UInt8", "Float", key="DataType"),
    ]
    tensor = {"Name": "images", "IOMode": "Input", "DataType": "UInt8", "Location": "Device"}
    text = json.dumps({"Layers": layers, "I/O Tensors": [tensor]})
    assert plan_layers.of_engine(text) == ({"fp32": 1, "fp16": 1, "int8": 1}, True)


def test_the_type_counts_before_the_format() -> None:
    """The words of a format may name the type of the layout that it was derived from."""
    one = layer("CaskConvolution", "Half", "Half", key="DataType")
    for tensor in (*one["Inputs"], *one["Outputs"]):
        tensor["Format"] = "Channel major INT8 format where channel % 16 == 0"
    assert plan_layers.of_engine(json.dumps({"Layers": [one]})) == ({"fp16": 1}, True)


def test_of_engine_counts_all_layers_where_fusion_left_no_weighted_one() -> None:
    layers = [layer("kgen", "UInt8", "Float"), layer("kgen", "Half", "Half")]
    assert plan_layers.of_engine(json.dumps({"Layers": layers})) == ({"fp32": 1, "fp16": 1}, False)


def test_of_engine_without_details() -> None:
    assert plan_layers.of_engine(json.dumps({"Layers": ["conv_0", "conv_1"]})) == ({}, False)
    assert plan_layers.of_engine(json.dumps({"I/O Tensors": []})) == ({}, False)
    silent = layer("CaskConvolution", "half", "half", key="Kind")
    silent["Inputs"], silent["Outputs"] = [{"Name": "a"}], [{"Name": "b"}]
    assert plan_layers.of_engine(json.dumps({"Layers": [silent]})) == ({}, True)


@pytest.mark.parametrize(
    ("asked", "histogram", "fits"),
    [
        ("fp32", {"fp32": 90}, True),
        ("fp32", {"fp32": 89, "fp16": 1}, False),
        ("fp16", {"fp16": 80, "fp32": 10}, True),
        ("fp16", {"fp16": 40, "fp32": 50}, False),
        ("fp16", {"fp16": 80, "int8": 10}, False),
        ("int8", {"int8": 50, "fp16": 40}, True),
        ("int8", {"fp16": 90}, False),
        ("fp32", {}, False),
        ("int8", {}, False),
    ],
)
def test_mismatch(asked: Any, histogram: dict[str, int], fits: bool) -> None:
    assert (plan_layers.mismatch(asked, histogram, 0.5) is None) == fits


def test_mismatch_says_the_numbers() -> None:
    assert plan_layers.mismatch("fp16", {"fp32": 88, "fp16": 2}, 0.5) == (
        "asked for fp16, but of 90 convolutions and matrix products 2 are fp16 (fp32 88, fp16 2), "
        "expected at least 45"
    )


def test_achieved() -> None:
    assert plan_layers.achieved({"int8": 50, "fp16": 40}) == "int8"
    assert plan_layers.achieved({}) == "unknown"
