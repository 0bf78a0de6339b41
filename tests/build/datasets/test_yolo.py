"""The reader of YOLO data sets against Ultralytics' own, over generated files.

Where the two differ on purpose, the test says why.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_images import write_picture, write_yolo
from tridet_build.datasets.dataset import Dataset, LabelledImage
from tridet_build.datasets.read import read_dataset
from tridet_build.datasets.yolo import labels_of, read_labels
from tridet_build.errors import DataError

data_utils = pytest.importorskip("ultralytics.data.utils", reason="the oracle is Ultralytics")
pytestmark = pytest.mark.full

CLASSES = 3
NAMES = tuple(f"c{index}" for index in range(CLASSES))
KEYPOINTS = (4, 2)


def number(low: float, high: float) -> st.SearchStrategy[str]:
    """Return numbers as tools write them, integers and exponents among them."""
    plain = st.floats(low, high).map(lambda value: f"{value:.6f}")
    return st.one_of(plain, st.floats(low, high).map(repr), st.sampled_from(["0", "1", "0.5"]))


fraction = st.one_of(
    number(0, 1),
    # A hair over the edge, and just beyond what is taken for rounding.
    st.sampled_from(["1.0000001", "1.0099", "1.0101", "-0.0000001", "-0.0099", "-0.0101", "1.3"]),
    st.sampled_from(["nan", "inf", "-inf", "1e-3", "1e2", "x"]),
)
class_id = st.one_of(
    st.integers(0, CLASSES - 1).map(str),
    st.sampled_from(["1.0", "0.5", "-1", "3", "nan", "c1"]),
)
good_box = st.tuples(st.integers(0, CLASSES - 1).map(str), *[number(0.3, 0.6)] * 4)
any_box = st.tuples(class_id, *[fraction] * 4)
confident = st.tuples(class_id, *[fraction] * 5)
# Segmentation's polygons and, with four corners, the rotated boxes of obb.
polygon = st.tuples(class_id, st.lists(st.tuples(fraction, fraction), min_size=3, max_size=6)).map(
    lambda drawn: (drawn[0], *(value for corner in drawn[1] for value in corner))
)
good_polygon = st.tuples(
    st.integers(0, CLASSES - 1).map(str),
    st.lists(st.tuples(number(0, 1), number(0, 1)), min_size=3, max_size=6),
).map(lambda drawn: (drawn[0], *(value for corner in drawn[1] for value in corner)))
pose = st.tuples(class_id, *[fraction] * 4, *[number(0, 1)] * (KEYPOINTS[0] * KEYPOINTS[1]))
cut_off = st.lists(fraction, min_size=1, max_size=12).map(tuple)
lines = st.one_of(
    st.lists(good_box, max_size=6),
    st.lists(good_polygon, max_size=4),
    st.lists(any_box, max_size=4),
    st.lists(polygon, max_size=4),
    st.lists(st.one_of(good_box, confident), max_size=3),
    st.lists(st.one_of(good_box, pose), max_size=3),
    st.lists(st.one_of(good_box, good_polygon, cut_off), max_size=4),
)


@st.composite
def label_files(draw: st.DrawFn) -> bytes:
    """Return what a label file may hold, whatever tool of whatever task has written it."""
    rows = draw(lines)
    if rows and draw(st.booleans()):
        rows = [*rows, draw(st.sampled_from(rows))]  # an object twice
    between = draw(st.sampled_from([" ", "  ", "\t"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
    text = end.join(between.join(row) for row in rows) + draw(st.sampled_from(["", end]))
    start = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xff"]))
    return start + text.encode()


def by_ultralytics(
    image: Path, file: Path, keypoints: tuple[int, int]
) -> tuple[bool, list[list[float]]]:
    """Return whether the image is left out as corrupt, and the rows of class id and xywh."""
    got = data_utils.verify_image_label(
        (str(image), str(file), "", False, CLASSES, *keypoints, False)
    )
    return bool(got[8]), [] if got[1] is None else got[1].tolist()


def as_xywh(image: LabelledImage) -> list[list[float]]:
    x1, y1, x2, y2 = image.boxes.T
    columns = image.class_ids, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    return np.column_stack(columns).tolist()


def same(rows: list[list[float]], others: list[list[float]]) -> bool:
    """Whether both are the same in any order: float64 here, float32 there."""
    left = [np.array(other) for other in others]
    for row in rows:
        off = [float(np.abs(other - row).max()) for other in left]
        if not off or min(off) > 1e-6:
            return False
        left.pop(off.index(min(off)))
    return not left


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "images" / "a.png"
    write_picture(path, 0)
    (path.parents[1] / "labels").mkdir()
    return path


@pytest.fixture(scope="module", autouse=True)
def _no_fonts() -> Iterator[None]:
    """Ultralytics fetches a font for names that are not ASCII."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_utils, "check_font", lambda _: None)
        yield


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of Ultralytics, of nan
@settings(max_examples=400, deadline=None)
@given(content=label_files(), keypoints=st.sampled_from([(0, 0), KEYPOINTS]))
def test_labels_are_those_of_ultralytics(
    image: Path, content: bytes, keypoints: tuple[int, int]
) -> None:
    file = labels_of(image)
    assert [str(file)] == data_utils.img2label_paths([str(image)])
    file.write_bytes(content)
    corrupt, rows = by_ultralytics(image, file, keypoints)
    ours = read_labels(image, file, NAMES, keypoints[0] * keypoints[1])
    errors = [fault for fault in ours.faults if fault.severity == "error"]
    if corrupt:
        # There the image is left out; here the error stops whoever would make a figure of it.
        assert errors
        return
    # On purpose: no IoU can find an object without an area or outside of the image, and a "polygon"
    # of one or two corners is a line that was cut off.
    stricter = {"empty box", "box out of range"}
    cut = any(len(line.split()) in (3, 5) for line in content.decode("utf-8-sig").splitlines())
    if any(fault.kind == "malformed line" for fault in errors):
        assert cut
    else:
        assert {fault.kind for fault in errors} <= stricter
    flat = {"empty box"} & {fault.kind for fault in errors}
    for fault in errors:
        if fault.kind == "box out of range":
            assert "expected a box in the image, got one outside" in fault.text
    if not errors:
        assert same(as_xywh(ours), rows), (as_xywh(ours), rows)
    elif flat:
        # Or of a side that is nothing beside its corners, in float32.
        assert any(min(row[3:5]) < 1e-6 for row in rows)


def written(folder: Path, **settings: Any) -> Path:
    """Write a data set of two images with these settings in its YAML."""
    data = write_yolo(folder, {"train": ["0 0.5 0.5 0.2 0.2\n"], "val": ["0 0.4 0.4 0.2 0.2\n"]})
    data.write_text(yaml.safe_dump({"path": str(folder), **settings}, allow_unicode=True))
    return data


def ours(data: Path) -> Dataset | None:
    try:
        return read_dataset(data)
    except DataError as error:
        assert "\n" not in str(error)
        return None


def theirs(data: Path) -> dict[str, Any] | None:
    try:
        return dict(data_utils.check_det_dataset(str(data), autodownload=False))
    except Exception:  # KeyError, SyntaxError, TypeError, FileNotFoundError ...
        return None


name = st.one_of(
    st.sampled_from(["a", "nut, bolt", "größe", "车", "1"]), st.booleans(), st.integers(), st.none()
)
key = st.one_of(st.integers(-1, 3), st.integers(-1, 3).map(str), st.sampled_from(["x", 1.0, " 1"]))
names_of_any_kind = st.one_of(
    st.none(), st.lists(name, max_size=4), st.dictionaries(key, name, max_size=4), st.just("a, b")
)
count_of_any_kind = st.sampled_from([None, 1, 2, 3, "2", 2.0, 1.5, "two"])


@settings(max_examples=200, deadline=None)
@given(names=names_of_any_kind, nc=count_of_any_kind)
def test_names_are_those_of_ultralytics(
    tmp_path_factory: pytest.TempPathFactory, names: Any, nc: Any
) -> None:
    given = {"names": names, "nc": nc}
    data = written(
        tmp_path_factory.mktemp("names"),
        train="images/train",
        val="images/val",
        **{key: value for key, value in given.items() if value is not None},
    )
    expected, dataset = theirs(data), ours(data)
    if expected is None:
        assert dataset is None
        return
    by_index = expected["names"]
    keys = [*names] if isinstance(names, dict) else []
    if len({int(key) for key in keys}) < len(keys) or any(int(key) < 0 for key in keys):
        # On purpose: of two names for one class Ultralytics takes the last, and a negative class
        # can have no object.
        assert dataset is None
        return
    assert dataset is not None
    assert dataset.names == tuple(by_index[index] for index in range(len(by_index)))
    twice = [fault.kind for fault in dataset.faults if fault.kind == "class name twice"]
    assert bool(twice) == (len(set(dataset.names)) < len(dataset.names))


places = st.sampled_from(
    ["images/train", "images/val", "../images/val", "gone", ["images/val"], 3, None]
)


@settings(max_examples=150, deadline=None)
@given(splits=st.dictionaries(st.sampled_from(["train", "val", "validation", "test"]), places))
def test_splits_are_those_of_ultralytics(
    tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Any]
) -> None:
    data = written(tmp_path_factory.mktemp("splits"), names=["a"], **splits)
    expected, dataset = theirs(data), ours(data)
    if dataset is None:
        # On purpose: without one image there is nothing to check, whatever the YAML says.
        usable = expected and [
            place
            for split in ("train", "val", "test")
            for place in np.atleast_1d(expected.get(split) or [])
            if Path(place).exists()
        ]
        assert not usable
        return
    faults = [*dataset.faults, *(fault for split in dataset.splits for fault in split.all_faults)]
    if expected is None:
        # On purpose: train or val alone can be measured. It is said that one is missing.
        assert faults
        return
    assert [split.name for split in dataset.splits] == [
        split for split in ("train", "val", "test") if expected.get(split)
    ]
    for split in dataset.splits:
        wanted = [Path(place) for place in np.atleast_1d(expected[split.name])]
        if not all(place.exists() for place in wanted):
            # On purpose: Ultralytics looks at val alone before it trains.
            assert "missing folder" in {fault.kind for fault in split.faults}
        else:
            assert {image.path.parent for image in split.images} == set(wanted)


def files_of(folder: Path) -> set[str]:
    """Return what Ultralytics finds in a folder or list."""
    from ultralytics.data.base import BaseDataset

    class Reader(BaseDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            self.prefix, self.fraction = "", 1.0

    return set(Reader().get_img_files(str(folder)))


def test_linked_and_hidden_folders_are_as_ultralytics_has_them(tmp_path: Path) -> None:
    data = write_yolo(tmp_path / "d", {"train": ["", ""], "val": [""]})
    train = tmp_path / "d" / "images" / "train"
    for store in ("images/more", "images/more/deep", "images/.hidden"):
        write_picture(tmp_path / "store" / store / "x.png", 5)
        labels = tmp_path / "store" / store.replace("images", "labels")
        labels.mkdir(parents=True, exist_ok=True)
        (labels / "x.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (train / "more").symlink_to(tmp_path / "store" / "images" / "more")
    (tmp_path / "d" / "labels" / "train" / "more").symlink_to(
        tmp_path / "store" / "labels" / "more"
    )
    write_picture(train / ".ipynb_checkpoints" / "x.png", 6)
    (train / "._train0.png").write_bytes(b"\0\5\x16\7")
    (train / "UPPER.PNG").write_bytes((train / "train0.png").read_bytes())
    split = read_dataset(data).split("train")
    assert {str(image.path) for image in split.images} == files_of(train)
    assert {image.path.name for image in split.images if len(image.class_ids)} == {"x.png"}
    assert not [fault for fault in split.faults if fault.kind == "labels without image"]
    # On purpose: Ultralytics follows a circle until the system stops it, with 40 times the images.
    (train / "more" / "circle").symlink_to(train)
    assert len(read_dataset(data).split("train").images) == len(split.images)
    # Links and formats that the server cannot read are not left out in silence.
    (train / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (train / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    faults = [(f.severity, f.kind) for f in read_dataset(data).split("train").faults]
    assert faults == [("error", "unreadable image"), ("warning", "image of another format")]


def test_a_split_that_is_a_link_has_its_labels_at_its_end(tmp_path: Path) -> None:
    """As for Ultralytics, which resolves a split's path before it looks for labels."""
    write_yolo(tmp_path / "store", {"train": ["1 0.5 0.5 0.2 0.2\n"]})
    (tmp_path / "d" / "images").mkdir(parents=True)
    (tmp_path / "d" / "images" / "train").symlink_to(tmp_path / "store" / "images" / "train")
    data = tmp_path / "d" / "data.yaml"
    data.write_text(
        f"path: {tmp_path / 'd'}\ntrain: images/train\nval: images/train\nnames: [a, b]\n"
    )
    expected = theirs(data)
    assert expected is not None
    (image,) = read_dataset(data).split("train").images
    assert {str(image.path)} == files_of(expected["train"])
    assert image.class_ids.tolist() == [1]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_list_of_images_is_that_of_ultralytics(
    tmp_path: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_yolo(tmp_path, {"train": ["1 0.5 0.5 0.2 0.2\n"] * 3})
    absolute = tmp_path / "images" / "train" / "train1.png"
    text = f"{start}./images/train/train0.png\r\n{absolute}\n\n"
    (tmp_path / "some.txt").write_text(text, encoding="utf-8")
    data.write_text("train: some.txt\nval: some.txt\nnames: [a, b]\n")
    split = read_dataset(data).split("train")
    assert {str(image.path) for image in split.images} == files_of(tmp_path / "some.txt")
    assert all(image.class_ids.tolist() == [1] for image in split.images)
    # Without ./ they are relative to where one is; here also to the list, which is meant as often.
    (tmp_path / "some.txt").write_text("images/train/train2.png\n")
    monkeypatch.chdir(tmp_path)
    expected = {str(Path(path).absolute()) for path in files_of(tmp_path / "some.txt")}
    assert {str(image.path) for image in read_dataset(data).split("train").images} == expected


def test_a_picture_in_place_of_a_list_is_a_fault(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, {"train": [""], "val": [""]})
    data.write_text("train: images/train/train0.png\nval: images/val\nnames: [a]\n")
    (fault,) = read_dataset(data).split("train").faults
    assert (fault.severity, fault.kind) == ("error", "unreadable list")
