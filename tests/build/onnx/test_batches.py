"""A batch axis that is dynamic in name only is found before a server meets it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser
from stub_onnx import write_detector
from tridet_build.errors import GraphError
from tridet_build.manifest.manifest import Manifest, load_manifest
from tridet_build.onnx.serving_graph import graph_of


@pytest.fixture
def detector(tmp_path: Path) -> Manifest:
    write_detector(tmp_path / "one")
    return load_manifest(tmp_path / "one")


def append(manifest: Manifest, nodes: str, **constants: list[int]) -> None:
    """Put nodes between ``before`` and ``output0``, at the end of the detector."""
    model = onnx.load(manifest.weights)
    model.graph.node[-1].output[0] = "before"
    graph = f"g (float[n, 7, 84] before) => (float[n, 7, 84] output0) {{ {nodes} }}"
    model.graph.node.extend(parser.parse_graph(graph).node)
    for name, values in constants.items():
        tensor = numpy_helper.from_array(np.array(values, np.int64), name)
        model.graph.initializer.append(tensor)
    onnx.save(model, manifest.weights)


def test_a_shape_that_follows_the_batch_is_fine(detector: Manifest) -> None:
    append(detector, "output0 = Reshape (before, shape)", shape=[-1, 7, 84])
    assert graph_of(detector)


@pytest.mark.parametrize(
    ("nodes", "constant", "complaint"),
    [
        ("output0 = Reshape (before, c)", [1, 7, 84], "two images at once fail"),
        (
            "total = ReduceSum (before, c)  output0 = Add (before, total)",
            [0],
            "two images at once give other detections than each alone",
        ),
    ],
)
def test_a_graph_of_one_image_is_refused(
    detector: Manifest, nodes: str, constant: list[int], complaint: str
) -> None:
    append(detector, nodes, c=constant)
    with pytest.raises(GraphError) as caught:
        graph_of(detector)
    assert str(caught.value).startswith(
        f"{detector.weights}: expected a dynamic batch axis, got one in name only: {complaint}"
    )
    assert str(caught.value).endswith("export again with dynamic=True")
    assert "\n" not in str(caught.value)


def test_what_onnx_runtime_cannot_run_is_refused(detector: Manifest) -> None:
    append(detector, "output0 = Gather <axis = 1> (before, picked)", picked=[0, 1, 2, 3, 4, 5, 99])
    with pytest.raises(GraphError, match=r"weights\.onnx: ONNX Runtime \S+ cannot run it: "):
        graph_of(detector)


def test_operators_of_a_plugin_are_left_to_the_server(detector: Manifest) -> None:
    """TensorRT may have them; ONNX Runtime does not."""
    model = onnx.load(detector.weights)
    model.graph.node[-1].op_type = "Magic"
    model.graph.node[-1].domain = "my.domain"
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    onnx.save(model, detector.weights)
    assert graph_of(detector)


def test_nan_is_no_matter_of_the_batch(detector: Manifest) -> None:
    """The server drops such candidates; they are none that two images mix up."""
    append(
        detector,
        "zero = Sub (before, before)  nan = Div (zero, zero) output0 = Where (c, nan, before)",
    )
    model = onnx.load(detector.weights)
    mask = np.zeros((1, 7, 84), np.bool_)
    mask[0, 4, ::3] = True
    model.graph.initializer.append(numpy_helper.from_array(mask, "c"))
    onnx.save(model, detector.weights)
    assert graph_of(detector)
