"""The class names in an ONNX file, as exporters write them."""

from pathlib import Path

import onnx
import pytest
from stub_onnx import write_stub
from tridet_build.errors import GraphError
from tridet_build.onnx.labels import class_names, labels_in


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("{0: 'a', 1: 'b'}", ("a", "b")),
        ("{1: 'b', 0: 'a'}", ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ("{'0': 'a', '1': 'b'}", ("a", "b")),
        ("{0: 'a', '1': 'b'}", ("a", "b")),
        ("{'0': 'a', 0: 'b'}", None),
        ("{'first': 'a'}", None),
        ("{None: 'a'}", None),
        ("{0: 'a', 2: 'b'}", None),
        ("{0: ''}", None),
        ("{}", None),
        ("a, b", None),
        ("", None),
    ],
)
def test_class_names(names: str, labels: tuple[str, ...] | None) -> None:
    assert class_names({"names": names}) == labels


def test_no_class_names() -> None:
    assert class_names({}) is None


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({}, "expected class names in its metadata"),
        ({"names": "os.remove('x')"}, "expected {0: 'a', 1: 'b', ...}, got \"os.remove('x')\""),
        ({"names": "{1: 'a'}"}, "got \"{1: 'a'}\""),
        ({"names": "{0: 1}"}, "got '{0: 1}'"),
        ({"names": "{0: 'a', 1: 'b', 2: 'a'}"}, "names: expected different names, got a twice"),
    ],
)
def test_labels_that_the_onnx_does_not_tell(
    tmp_path: Path, metadata: dict[str, str], complaint: str
) -> None:
    path = tmp_path / "weights.onnx"
    write_stub(path)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    with pytest.raises(GraphError) as caught:
        labels_in(path)
    assert complaint in str(caught.value)
    assert "labels = [...]" in str(caught.value)


def test_heads_that_are_not_joined_are_said_before_the_names_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    write_stub(path, outputs=3)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(GraphError, match=r"expected one input .*, got .*; export again"):
        labels_in(path)
