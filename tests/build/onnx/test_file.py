"""ONNX files as exporters leave them: out of order, of an old opset, in several files."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper, parser
from stub_onnx import write_stub
from tridet_build.errors import OnnxError
from tridet_build.files import sha256_of
from tridet_build.onnx.file import files_of, opset_of, read_onnx, sort_nodes, weights_sha256
from tridet_build.onnx.serving_graph import serving_graph


def run(model: ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    found: np.ndarray = session.run(None, {"images": images})[0]
    return found


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_stub(tmp_path / "weights.onnx")
    return tmp_path / "weights.onnx"


def test_nodes_are_put_into_order(weights: Path) -> None:
    want = onnx.load(weights)
    for order in ((1, 2, 3, 4, 5, 0), (5, 4, 3, 2, 1, 0), (0, 2, 1, 4, 3, 5)):
        model = onnx.load(weights)
        nodes = list(want.graph.node)
        del model.graph.node[:]
        model.graph.node.extend(nodes[index] for index in order)
        onnx.save(model, weights)
        with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
            onnx.checker.check_model(onnx.load(weights))
        assert read_onnx(weights) == want


def test_a_graph_inside_a_node_counts_and_is_sorted_too() -> None:
    """What a branch takes from outside, its node takes."""
    graph = parser.parse_graph(
        """
        g (bool choice, float[n] x) => (float[n] y)
        {
            y = If (choice) <
                then_branch = t () => (float[n] p) { p = Neg (q)  q = Abs (late) },
                else_branch = e () => (float[n] r) { r = Identity (x) }
            >
            late = Relu (x)
        }"""
    )
    sort_nodes(graph)
    assert [node.op_type for node in graph.node] == ["Relu", "If"]
    inner = next(one.g for one in graph.node[1].attribute if one.name == "then_branch")
    assert [node.op_type for node in inner.node] == ["Abs", "Neg"]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)


def test_a_circle_is_refused(weights: Path) -> None:
    model = onnx.load(weights)
    model.graph.node[0].input[0] = "part"
    onnx.save(model, weights)
    with pytest.raises(OnnxError, match=r"not a readable ONNX model: .*sorted"):
        read_onnx(weights)


@pytest.mark.parametrize("opset", [11, 12])
def test_an_old_opset_is_converted(tmp_path: Path, opset: int) -> None:
    """YOLOv5 wrote 12 until 7.0, YOLOv7 does."""
    path = tmp_path / "old.onnx"
    write_stub(path, opset=opset, metadata={"task": "detect"})
    model = read_onnx(path)
    assert opset_of(model) == 13
    assert model.metadata_props == onnx.load(path).metadata_props
    np.testing.assert_array_equal(run(model), run(onnx.load(path)))


@pytest.mark.parametrize("opset", [11, 19])
def test_weights_among_the_inputs_are_constants(weights: Path, opset: int) -> None:
    """PyTorch's keep_initializers_as_inputs, which was its only way before version 4 of ONNX."""
    write_stub(weights, opset=opset)
    model = onnx.load(weights)
    want = run(model)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        shape = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(shape)
    onnx.save(model, weights)
    read = read_onnx(weights)
    assert [tensor.name for tensor in read.graph.input] == ["images"]
    np.testing.assert_array_equal(run(read), want)
    serving_graph(weights, input_size=64, classes=3, candidates=9)


def test_an_old_opset_that_cannot_be_converted_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.onnx"
    write_stub(path, opset=12)

    def refuse(*_: object) -> None:
        raise RuntimeError("No adapter\nat all")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    with pytest.raises(OnnxError) as caught:
        read_onnx(path)
    assert "expected opset 13 or newer, got 12, which cannot be converted" in str(caught.value)
    assert str(caught.value).endswith("export again with --opset 13 or newer")
    assert "\n" not in str(caught.value)


def save_apart(model: ModelProto, path: Path) -> None:
    (path.parent / "tensors.bin").unlink(missing_ok=True)
    onnx.save(model, path, save_as_external_data=True, location="tensors.bin", size_threshold=0)


def test_tensors_in_another_file_belong_to_the_weights(weights: Path) -> None:
    assert files_of(weights) == [weights]
    assert weights_sha256(weights) == sha256_of(weights)
    model = onnx.load(weights)
    hashes, files = [], []
    for factor in (1, 2):
        changed = ModelProto()
        changed.CopyFrom(model)
        scaled = next(one for one in changed.graph.initializer if one.name == "scaled")
        values = numpy_helper.to_array(scaled) * np.float32(factor)
        scaled.CopyFrom(numpy_helper.from_array(values, "scaled"))
        save_apart(changed, weights)
        hashes.append(weights_sha256(weights))
        files.append(sha256_of(weights))
    assert files[0] == files[1]
    assert hashes[0] != hashes[1]
    assert files_of(weights) == [weights, weights.parent / "tensors.bin"]


def test_tensors_in_attributes_and_inner_graphs_count(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "value")
    constant = helper.make_node("Constant", [], ["r"], value=tensor)
    branch = helper.make_graph(
        [constant], "b", [], [helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, [4])]
    )
    node = helper.make_node("If", ["choice"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("choice", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])],
    )
    model = helper.make_model(graph)
    onnx.external_data_helper.set_external_data(
        model.graph.node[0].attribute[0].g.node[0].attribute[0].t, "far.bin"
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert files_of(path) == [path, tmp_path / "far.bin"]


@pytest.mark.parametrize("content", [b"location", b"not onnx, but location \xff", b""])
def test_what_is_no_onnx_is_one_file(tmp_path: Path, content: bytes) -> None:
    for name in ("weights.onnx", "weights.pt"):
        path = tmp_path / name
        path.write_bytes(content)
        assert weights_sha256(path) == sha256_of(path)
