"""Precision; what needs ModelOpt, and so PyTorch, is skipped where that is not installed.

CI installs neither: both come with the extra `full`. The tests named `..._with_modelopt` run where
somebody builds plans.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from stub_onnx import write_stub
from tridet.processing.parameters import NmsParameters
from tridet_build.errors import ImagesError, OnnxError, PrecisionError
from tridet_build.gate.detections import Settings, detect
from tridet_build.gate.sensitivity import sensitivity, sensitivity_table
from tridet_build.manifest.manifest import Calibration
from tridet_build.manifest.sizes import Sizes
from tridet_build.onnx.serving_graph import serving_graph
from tridet_build.precision import report as precision_report
from tridet_build.precision.convert import (
    HEAD_TAIL,
    PrecisionReport,
    decode_tail,
    excluded_nodes,
    head_tail,
    to_fp16,
    to_int8,
)
from tridet_build.precision.qdq import without_qdq

PCB = Path(__file__).parents[3] / "models" / "pcb"
PCB_SETTINGS = Settings(
    640, ("missing_hole", "mouse_bite", "open_circuit", "short", "spur", "spurious_copper")
)


def write_convolutional(
    path: Path, *, layers: int = 3, size: int = 32, opset: int = 19, dynamic: bool = False
) -> None:
    """Write a small detector that has what matters here: convolutions, and a decode tail.

    Its output is [N, 5, anchors]: a box decoded by a softmax and a fixed convolution, as in
    Ultralytics' heads, and one score.

    Args:
        dynamic: leave height and width open, whatever the size.
    """
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    name, channels = "images", 3
    for layer in range(layers):
        values = rng.normal(0, 0.3, (16, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        nodes += [
            helper.make_node(
                "Conv",
                [name, f"w{layer}"],
                [f"c{layer}"],
                name=f"/body/{layer}/Conv",
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                strides=[2, 2],
            ),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"], name=f"/body/{layer}/Relu"),
        ]
        name, channels = f"r{layer}", 16
    anchors = -1 if dynamic else (size // 2**layers) ** 2
    sides: list[str | int] = ["height", "width"] if dynamic else [size, size]
    for branch, out in (("boxes", 16), ("scores", 1)):
        values = rng.normal(0, 0.3, (out, 16, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w_{branch}"))
        nodes.append(
            helper.make_node(
                "Conv",
                [name, f"w_{branch}"],
                [branch],
                name=f"/head/{branch}/Conv",
                kernel_shape=[1, 1],
            )
        )
    shapes = {
        "bins": [0, 4, 4, anchors],
        "box_rows": [0, 4, anchors],
        "score_rows": [0, 1, anchors],
    }
    weights += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in shapes.items()]
    weights.append(
        numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1), "w_dfl")
    )
    nodes += [
        helper.make_node("Reshape", ["boxes", "bins"], ["sides"], name="/head/Reshape"),
        helper.make_node(
            "Transpose", ["sides"], ["binned"], name="/head/Transpose", perm=[0, 2, 1, 3]
        ),
        helper.make_node("Softmax", ["binned"], ["soft"], name="/head/Softmax", axis=1),
        helper.make_node("Conv", ["soft", "w_dfl"], ["mean"], name="/head/dfl/Conv"),
        helper.make_node("Reshape", ["mean", "box_rows"], ["box"], name="/head/Reshape_1"),
        helper.make_node("Reshape", ["scores", "score_rows"], ["logit"], name="/head/Reshape_2"),
        helper.make_node("Sigmoid", ["logit"], ["score"], name="/head/Sigmoid"),
        helper.make_node("Concat", ["box", "score"], ["output0"], name="/head/Concat", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *sides])],
        [
            helper.make_tensor_value_info(
                "output0", TensorProto.FLOAT, ["batch", 5, "anchors" if dynamic else anchors]
            )
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'thing'}"})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_convolutional(tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for index in range(34):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), pixels)
    return paths


def test_decode_tail_ends_at_the_heads_last_convolutions(weights: Path) -> None:
    """The convolution behind the softmax decodes; that it is one does not end the walk."""
    model = onnx.load(weights)
    tail = decode_tail(model)
    assert tail == {
        "/head/Reshape",
        "/head/Transpose",
        "/head/Softmax",
        "/head/dfl/Conv",
        "/head/Reshape_1",
        "/head/Reshape_2",
        "/head/Sigmoid",
        "/head/Concat",
    }
    assert head_tail(model) - tail == {"/head/boxes/Conv", "/head/scores/Conv"}


def test_decode_tail_of_the_default_detector() -> None:
    model = onnx.load(PCB / "pcb.onnx")
    last = head_tail(model) - decode_tail(model)
    branches = [f"/model.23/cv2.{i}/cv2.{i}.2/Conv" for i in range(3)]
    branches += [f"/model.23/cv3.{i}/cv3.{i}.2/Conv" for i in range(3)]
    assert last == set(branches)
    assert "/model.23/dfl/conv/Conv" in decode_tail(model)
    assert all(name.startswith("/model.23/") for name in decode_tail(model))


def test_a_graph_without_such_a_head_is_refused(tmp_path: Path) -> None:
    write_stub(tmp_path / "stub.onnx")
    with pytest.raises(PrecisionError, match="expected a head that ends in convolutions"):
        decode_tail(onnx.load(tmp_path / "stub.onnx"))


def test_exclusions_match_whole_names(weights: Path) -> None:
    model = onnx.load(weights)
    found = excluded_nodes(model, [HEAD_TAIL, r"/body/[01]/Conv"])
    assert list(found) == ["excluded by 'head-tail'", "excluded by '/body/[01]/Conv'"]
    assert list(found.values())[1] == ["/body/0/Conv", "/body/1/Conv"]
    assert excluded_nodes(model, []) == {}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("/body/0", r"expected '/body/0' to match nodes of the detector, such as '/body/0/Conv'"),
        ("(", r"expected a regular expression, got '\('"),
    ],
)
def test_an_exclusion_of_nothing_is_refused(weights: Path, entry: str, complaint: str) -> None:
    with pytest.raises(PrecisionError, match=complaint):
        excluded_nodes(onnx.load(weights), [entry])


def test_missing_modelopt_is_one_line_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, weights: Path, images: list[Path], tmp_path: Path
) -> None:
    for name in ("", ".onnx", ".onnx.autocast", ".onnx.quantization"):
        monkeypatch.setitem(sys.modules, f"modelopt{name}", None)
    out = tmp_path / "out.onnx"
    for convert in (
        lambda: to_fp16(weights, out, input_size=32),
        lambda: to_int8(weights, out, images=images, input_size=32),
    ):
        with pytest.raises(PrecisionError, match=r"pip install 'tridet-build\[full\]'") as caught:
            convert()
        assert "\n" not in str(caught.value)
    assert not out.exists()


def test_too_few_images_stop_before_anything_heavy(
    weights: Path, images: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ImagesError, match="expected 32 usable images or more, got 31"):
        to_int8(weights, tmp_path / "out.onnx", images=images[:31], input_size=32)


@pytest.mark.parametrize("content", [None, b"", b"not onnx"])
def test_unreadable_weights_are_refused(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "weights.onnx"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(OnnxError) as caught:
        to_fp16(source, tmp_path / "out.onnx", input_size=32)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_fp32_is_refused(tmp_path: Path) -> None:
    write_stub(tmp_path / "half.onnx", half=True)
    with pytest.raises(PrecisionError, match="expected an FP32 model, got one with FP16 weights"):
        to_fp16(tmp_path / "half.onnx", tmp_path / "out.onnx", input_size=64)


def test_counts_of_an_fp32_model(weights: Path) -> None:
    model = onnx.load(weights)
    counts = precision_report.histograms(model)
    assert counts["heavy_nodes"] == {"float32": 6}
    assert counts["nodes"] == {"float32": len(model.graph.node)}
    assert counts["plumbing"] == {}
    assert precision_report.could_have("fp16", model, decode_tail(model)) == 5
    assert precision_report.could_have("int8", model, head_tail(model)) == 3


@pytest.mark.full
def test_fp16_keeps_the_decode_tail_in_fp32_with_modelopt(weights: Path, tmp_path: Path) -> None:
    """Runs where ModelOpt is installed; CI has no PyTorch."""
    pytest.importorskip("modelopt")
    out = tmp_path / "fp16.onnx"
    made = to_fp16(weights, out, input_size=32)
    assert made.heavy_nodes == {"float16": 5, "float32": 1}
    assert made.kept["decode tail, FP32"] == sorted(decode_tail(onnx.load(weights)))
    assert made.size_bytes == out.stat().st_size
    assert same_metadata(weights, out)
    np.testing.assert_allclose(outputs(out, 3), outputs(weights, 3), atol=0.02)
    before = out.read_bytes()
    assert to_fp16(weights, out, input_size=32).sha256 == made.sha256
    assert out.read_bytes() == before


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.full
def test_height_and_width_stay_dynamic_with_modelopt(
    images: list[Path], tmp_path: Path, precision: str
) -> None:
    """Runs where ModelOpt is installed; CI has no PyTorch."""
    pytest.importorskip("modelopt")
    source, out, sizes = tmp_path / "any.onnx", tmp_path / "out.onnx", Sizes(32, 64, 96)
    write_convolutional(source, dynamic=True)
    if precision == "fp16":
        made = to_fp16(source, out, input_size=sizes, images=images)
    else:
        made = to_int8(source, out, images=images, input_size=sizes)
    kind = {"fp16": "float16", "int8": "int8"}[precision]
    assert made.heavy_nodes[kind] >= 2
    model = onnx.load(out)
    for tensor in (*model.graph.input, *model.graph.output):
        axes = tensor.type.tensor_type.shape.dim
        assert not any(axis.HasField("dim_value") for axis in (axes[0], *axes[2:]))
    graph = tmp_path / "graph.onnx"
    onnx.save(serving_graph(out, input_size=sizes, classes=1, candidates=16), graph)
    for size in (32, 64, 96):
        for batch in (1, 3):
            got, want = (outputs(path, batch, size) for path in (out, source))
            assert np.abs(got - want).mean() < (0.02 if precision == "fp16" else 0.1)
            frames = np.zeros((batch, size, size, 3), np.uint8)
            session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
            assert session.run(["scores"], {"images": frames})[0].shape == (batch, 16)


@pytest.mark.full
def test_int8_has_qdq_pairs_and_a_calibration_cache_with_modelopt(
    weights: Path, images: list[Path], tmp_path: Path
) -> None:
    """Runs where ModelOpt is installed; CI has no PyTorch."""
    pytest.importorskip("modelopt")
    out, cache = tmp_path / "int8.onnx", tmp_path / "cache"
    seen: list[tuple[int, int]] = []

    def build(**changes: object) -> PrecisionReport:
        of = {"images": images, **changes}.pop("images")
        changes.pop("images", None)
        return to_int8(
            weights,
            out,
            images=of,  # type: ignore[arg-type]
            input_size=32,
            settings=Calibration(**changes),  # type: ignore[arg-type]
            cache=cache,
            progress=lambda *done: seen.append(done),
        )

    made = build()
    # The body's first convolution has three input channels; ModelOpt decides.
    assert made.heavy_nodes["int8"] >= 2
    assert made.heavy_nodes["float16"] >= 2
    assert made.heavy_nodes["float32"] == 1
    assert made.calibration is not None
    assert (made.calibration["samples"], made.calibration["from_cache"]) == (34, False)
    assert seen[-1] == (34, 34)
    assert same_metadata(weights, out)
    assert np.abs(outputs(out, 3) - outputs(weights, 3)).mean() < 0.1

    seen.clear()
    again = build()
    assert again.calibration is not None
    assert again.calibration["from_cache"] is True
    assert again.sha256 == made.sha256
    assert not seen
    for changes in ({"method": "minmax"}, {"images": images[1:]}, {"exclude": ()}):
        other = build(**changes)
        assert other.calibration is not None
        assert other.calibration["from_cache"] is False


@pytest.mark.full
def test_sensitivity_bridges_all_blocks_but_one_with_modelopt(
    weights: Path, images: list[Path], tmp_path: Path
) -> None:
    """Runs where ModelOpt is installed; CI has no PyTorch."""
    pytest.importorskip("modelopt")
    out = tmp_path / "int8.onnx"
    made = to_int8(weights, out, images=images, input_size=32)
    model = onnx.load(out)
    quantized = {n for n, kind in precision_report.computes_in(model).items() if kind == "int8"}
    assert len(quantized) >= made.heavy_nodes["int8"]
    onnx.save(without_qdq(model, quantized), tmp_path / "bridged.onnx")
    assert "int8" not in precision_report.computes_in(onnx.load(tmp_path / "bridged.onnx")).values()
    plain = tmp_path / "fp16.onnx"
    to_fp16(weights, plain, input_size=32)
    np.testing.assert_allclose(outputs(tmp_path / "bridged.onnx", 2), outputs(plain, 2), atol=2e-3)
    settings = Settings(32, ("thing",), 16, NmsParameters(0.1, 0.7, 10, False))
    found = sensitivity(weights, out, images=images[:4], settings=settings)
    blocks, left = found.blocks, found.left
    assert [block.name for block in blocks] == ["body"]
    assert blocks[0].nodes == made.heavy_nodes["int8"]
    assert blocks[0].pattern == "/body/.*"
    assert left == []
    assert sensitivity_table(blocks).row_count == 1


@pytest.mark.full
def test_default_detector_finds_the_same_defects_in_fp16_with_modelopt(tmp_path: Path) -> None:
    """Runs where ModelOpt is installed; CI has no PyTorch."""
    pytest.importorskip("modelopt")
    samples = sorted((PCB / "samples").glob("*.jpg"))
    out = tmp_path / "pcb.fp16.onnx"
    made = to_fp16(PCB / "pcb.onnx", out, input_size=640, images=samples)
    assert made.heavy_nodes.get("float32", 0) <= 1 + 0.1 * sum(made.heavy_nodes.values())
    before = detect(PCB / "pcb.onnx", samples, PCB_SETTINGS)
    after = detect(out, samples, PCB_SETTINGS)
    for one, two in zip(before, after, strict=True):
        assert one.above(0.25).class_ids.tolist() == two.above(0.25).class_ids.tolist()


def outputs(path: Path, batch: int, size: int = 32) -> np.ndarray:
    frames = np.random.default_rng(3).random((batch, 3, size, size), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"images": frames})[0]
    return found


def same_metadata(first: Path, second: Path) -> bool:
    one, two = ({p.key: p.value for p in onnx.load(p).metadata_props} for p in (first, second))
    return one == two
