import pytest
from hypothesis import given
from hypothesis import strategies as st
from tridet_build.errors import GraphError
from tridet_build.onnx.layouts import LAYOUTS, Layout, Prediction, recognize

NMS_FREE = {"end2end": "True", "task": "detect"}
WITH_NMS = {"end2end": "False", "task": "detect"}


def seen(
    shape: list[int | str | None],
    classes: int,
    metadata: dict[str, str] | None = None,
    layout: str | None = None,
    input_size: int = 640,
) -> Prediction:
    return recognize(
        shape, classes=classes, input_size=input_size, metadata=metadata or {}, layout=layout
    )


def complaint(*arguments: object, **more: object) -> str:
    with pytest.raises(GraphError) as caught:
        seen(*arguments, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("shape", "classes", "layout", "rows"),
    [
        (["batch", 84, 8400], 80, "ultralytics", 8400),
        (["batch", 5, 8400], 1, "ultralytics", 8400),
        ([None, 6, 8400], 2, "ultralytics", 8400),
        (["batch", 84, 34000], 80, "ultralytics", 34000),  # with a level of stride 4
        (["batch", 25200, 85], 80, "yolov5", 25200),
        (["batch", 25500, 85], 80, "yolov5", 25500),  # with a level of stride 64
        (["batch", 300, 6], 80, "end_to_end", 300),
        (["batch", 1, 6], 80, "end_to_end", 1),
    ],
)
def test_by_shape_alone(
    shape: list[int | str | None], classes: int, layout: Layout, rows: int
) -> None:
    assert seen(shape, classes) == Prediction(layout, rows)


def test_one_class_and_six_columns_by_the_number_of_rows() -> None:
    """Objectness and one class make six columns too."""
    assert seen(["batch", 25200, 6], 1) == Prediction("yolov5", 25200)
    assert seen(["batch", 300, 6], 1) == Prediction("end_to_end", 300)


def test_one_class_and_six_columns_by_the_metadata() -> None:
    shape: list[int | str | None] = ["batch", 84, 6]
    assert "may be yolov5 or end_to_end; say which with layout" in complaint(
        shape, 1, input_size=64
    )
    assert seen(shape, 1, NMS_FREE, input_size=64) == Prediction("end_to_end", 84)
    assert seen(shape, 1, {"args": "{'nms': True}"}, input_size=64).layout == "end_to_end"
    assert seen(shape, 1, layout="yolov5", input_size=64) == Prediction("yolov5", 84)


def test_two_classes_and_six_columns_may_be_centre_based() -> None:
    shape: list[int | str | None] = ["batch", 300, 6]
    assert "end_to_end, or a transposed or RT-DETR head" in complaint(shape, 2)
    assert seen(shape, 2, NMS_FREE).layout == "end_to_end"
    assert seen(shape, 2, layout="end_to_end").layout == "end_to_end"


def test_square_output_by_the_number_of_rows() -> None:
    # At 64 px, 252 are three anchors in each of 84 cells; 85 are one in each of 85.
    assert seen(["batch", 252, 253], 248, input_size=64) == Prediction("yolov5", 252)
    assert seen(["batch", 84, 85], 80, input_size=64) == Prediction("ultralytics", 85)
    assert seen(["batch", 84, 85], 80, input_size=64, layout="yolov5") == Prediction("yolov5", 84)


def test_metadata_overrules_the_number_of_rows() -> None:
    assert seen(["batch", 5, 6], 1, WITH_NMS) == Prediction("ultralytics", 6)
    message = complaint(["batch", 300, 6], 80, WITH_NMS)
    assert "end2end = False" in message
    assert "which would be end_to_end" in message
    message = complaint(["batch", 84, 8400], 80, NMS_FREE)
    assert "expected the layout end_to_end" in message
    assert seen(["batch", 84, 8400], 80, NMS_FREE, "ultralytics").layout == "ultralytics"


def test_objectness_with_one_anchor_per_cell_is_not_yolov5() -> None:
    message = complaint(["batch", 8400, 85], 80)
    assert "got an output [batch, 8400, 85]" in message
    assert "YOLOX takes pixels of 0 to 255" in message
    assert seen(["batch", 8400, 85], 80, layout="yolov5").layout == "yolov5"


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (["batch", 8400, 84], "[batch, 8400, 84]; a transposed or RT-DETR head"),
        (["batch", 85, 8400], "[batch, 85, 8400]; check the labels"),
        (["batch", 3, 80, 80, 85], "[batch, 3, 80, 80, 85]"),
        (["batch", 84, "anchors"], "[batch, 84, anchors]"),
        ([None, None, 84], "[?, ?, 84]"),
        ([], "[]"),
    ],
)
def test_foreign_layout_is_refused_with_what_was_found(
    shape: list[int | str | None], found: str
) -> None:
    message = complaint(shape, 80)
    assert "expected an output [N, 84, anchors] (ultralytics), [N, anchors, 85] (yolov5)" in message
    assert "or [N, rows, 6] (end_to_end), for 80 labels" in message
    assert f"got an output {found}" in message


def test_override_must_fit_the_shape() -> None:
    message = complaint(["batch", 84, 8400], 80, layout="yolov5")
    assert message == "expected an output [N, anchors, 85], got an output [batch, 84, 8400]"
    message = complaint(["batch", 84, 8400], 80, layout="yolo")
    assert message == "layout: expected one of ultralytics, yolov5, end_to_end, got 'yolo'"


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ("{0: 'cat', 1: 'dog'}", "(cat, dog)"),
        ("['cat', 'dog']", "(cat, dog)"),
        ("('a', 'b', 'c', 'd', 'e')", "(a, b, c, d, ...)"),
    ],
)
def test_names_must_be_as_many_as_the_labels(names: str, listed: str) -> None:
    count = names.count("'") // 2
    message = complaint(["batch", 7, 8400], 3, {"names": names})
    assert message.startswith(f"labels: expected {count}, one for each of the names")
    assert listed in message
    assert message.endswith("got 3")


@pytest.mark.parametrize("names", ["", "cat", "{0: 'cat'", "__import__('os')", "3", "(" * 999])
def test_names_that_say_nothing_are_passed_over(names: str) -> None:
    assert seen(["batch", 7, 8400], 3, {"names": names}).layout == "ultralytics"


def test_other_tasks_are_refused_by_name() -> None:
    message = complaint(["batch", 56, 8400], 1, {"task": "pose"})
    assert message == "expected a model of the task detect, got pose"


@given(
    layout=st.sampled_from(LAYOUTS),
    classes=st.integers(1, 1000),
    cells=st.integers(1, 20),
    levels=st.sampled_from([(8, 16, 32), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64)]),
)
def test_what_ultralytics_and_yolov5_write_is_never_misread(
    layout: Layout, classes: int, cells: int, levels: tuple[int, ...]
) -> None:
    """With the metadata that each writes; it may be refused, but not taken for another layout."""
    size = 64 * cells
    anchors = sum((size // stride) ** 2 for stride in levels)
    shape, metadata = {
        "ultralytics": (["batch", 4 + classes, anchors], WITH_NMS),
        "yolov5": (["batch", 3 * anchors, 5 + classes], {"stride": "32"}),
        "end_to_end": (["batch", min(300, anchors), 6], NMS_FREE),
    }[layout]
    try:
        found = seen(shape, classes, metadata, input_size=size)  # type: ignore[arg-type]
    except GraphError as error:
        assert layout == "yolov5"
        assert "say" in str(error)
    else:
        assert found.layout == layout
