"""What a detector returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from tridet.exceptions import InvalidInput
from tridet.extras import require
from tridet.groups import MemberInfo
from tridet.images import pixels_to_draw_on

if TYPE_CHECKING:
    import PIL.Image
    import supervision

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
UInt8Array = npt.NDArray[np.uint8]


class Detection(NamedTuple):
    """One found object."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the source image."""
    score: float
    """Confidence in [0, 1]."""
    class_id: int
    """Index into the model's labels."""
    name: str
    """The label of the class."""
    track_id: int | None = None
    """The same number for the same object in every frame of a stream; None if it has none (yet)."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects found in one image, strongest first. The arrays are read-only.

    Iterating gives one ``Detection`` per object, as does an index; a slice, row numbers or a mask
    give the ``Detections`` of these. A notebook shows a table.
    """

    boxes: Float32Array
    """float32 [n, 4]: x1, y1, x2, y2 in pixels of the source image, clipped to it."""
    scores: Float32Array
    """float32 [n]: confidence in [0, 1], descending."""
    class_ids: Int32Array
    """int32 [n]: index into ``labels``."""
    labels: tuple[str, ...]
    """The names of all classes that the model knows."""
    image_size: tuple[int, int]
    """(width, height) of the source image in pixels, upright."""
    source: str | None = None
    """The path that was given, or None for bytes and arrays."""
    elapsed_s: float = 0.0
    """Seconds from the call to the result: reading, resizing, request, retries."""
    members: tuple[MemberInfo, ...] = ()
    """The detectors that found them: a group's, or the one; none if the caller made this object."""
    track_ids: Int32Array | None = None
    """int32 [n]: which object of the stream each is, -1 for none yet; None without tracking."""

    def __post_init__(self) -> None:
        _set_read_only(self, "boxes", np.float32, (-1, 4))
        _set_read_only(self, "scores", np.float32, (-1,))
        _set_read_only(self, "class_ids", np.int32, (-1,))
        if not len(self.boxes) == len(self.scores) == len(self.class_ids):
            raise ValueError(
                f"expected as many scores and class_ids as boxes, got {len(self.boxes)} boxes, "
                f"{len(self.scores)} scores, {len(self.class_ids)} class_ids"
            )
        if self.track_ids is not None:
            _set_read_only(self, "track_ids", np.int32, (-1,))
            if len(self.track_ids) != len(self.scores):
                raise ValueError(
                    f"expected as many track_ids as scores, got {len(self.track_ids)} track_ids, "
                    f"{len(self.scores)} scores"
                )

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        tracks = [-1] * len(self) if self.track_ids is None else self.track_ids.tolist()
        for box, score, class_id, track in zip(
            self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), tracks, strict=True
        ):
            track_id = track if track >= 0 else None
            yield Detection(tuple(box), score, class_id, self._name(class_id), track_id)

    @overload
    def __getitem__(self, which: int | np.integer[Any]) -> Detection: ...

    @overload
    def __getitem__(self, which: slice | Sequence[int] | npt.NDArray[Any]) -> Detections: ...

    def __getitem__(
        self, which: int | np.integer[Any] | slice | Sequence[int] | npt.NDArray[Any]
    ) -> Detection | Detections:
        """Return one object, or those of a slice, of row numbers or of a mask bool [n].

        Raises:
            IndexError: there is no such row, or the mask is not of n.
        """
        if isinstance(which, (int, np.integer)):
            row = range(len(self))[which]
            return next(iter(self._rows(slice(row, row + 1))))
        if not isinstance(which, slice):
            which = np.asarray(which)
            which = which.astype(np.intp) if which.size == 0 else which
        return self._rows(which)

    def _rows(self, rows: slice | npt.NDArray[Any]) -> Detections:
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            class_ids=self.class_ids[rows],
            track_ids=None if self.track_ids is None else self.track_ids[rows],
        )

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = "".join(
            f"<tr><td>{escape(found.name)}</td><td>{found.score:.2f}</td>"
            f"<td>{', '.join(f'{side:.1f}' for side in found.box)}</td></tr>"
            for found in self
        )
        title = escape(f"{len(self)} detections in {self.source or 'an image'}")
        size = "{} x {} pixels".format(*self.image_size)
        header = "<tr><th>name</th><th>score</th><th>x1, y1, x2, y2</th></tr>"
        return f"<table><caption>{title}, {size}</caption>{header}{rows}</table>"

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each detection, n of them."""
        return tuple(self._name(class_id) for class_id in self.class_ids.tolist())

    def _name(self, class_id: int) -> str:
        known = 0 <= class_id < len(self.labels)
        return self.labels[class_id] if known else f"class {class_id}"

    def by_detector(self) -> dict[str, Detections]:
        """Split what a group found: each member's own detections, with its own labels and ids.

        A detector that is no group gives a dict of one, under its name.

        Raises:
            ValueError: the caller made this object, not a detector.
        """
        if not self.members:
            raise ValueError("expected detections that a detector returned, got others")
        if len(self.members) == 1:
            return {self.members[0].name: self}
        return {member.name: self._of(member) for member in self.members}

    def _of(self, member: MemberInfo) -> Detections:
        ids = member.class_ids
        rows = (self.class_ids >= ids.start) & (self.class_ids < ids.stop)
        found = self._rows(rows)
        return replace(
            found,
            class_ids=found.class_ids - np.int32(ids.start),
            labels=member.labels,
            members=(replace(member, class_ids=range(len(ids))),),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that ``json.dumps`` takes; pixels to 3 decimals, scores to 6.

        With tracking each detection has a ``track_id`` too, null where it is no track yet.
        """
        tracked = self.track_ids is not None
        width, height = self.image_size
        return {
            "source": self.source,
            "width": width,
            "height": height,
            "detections": [
                {
                    "box": [round(side, 3) for side in found.box],
                    "score": round(found.score, 6),
                    "class_id": found.class_id,
                    "name": found.name,
                    **({"track_id": found.track_id} if tracked else {}),
                }
                for found in self
            ],
        }

    def to_supervision(self) -> supervision.Detections:
        """Return supervision's ``Detections``, class names in its data field ``class_name``.

        With tracking it has a ``tracker_id`` too, -1 for what is no track yet.

        Raises:
            MissingExtra: supervision is not installed.
        """
        require("draw", "supervision")
        import supervision

        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.class_ids.astype(int),
            tracker_id=None if self.track_ids is None else self.track_ids.astype(int),
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )

    def annotate(self, image: UInt8Array | PIL.Image.Image) -> UInt8Array:
        """Return uint8 [h, w, 3] BGR: ``image`` with the boxes and their labels drawn on a copy.

        A label is ``name score``, with tracking ``#id name score``; colours go by the class.

        Args:
            image: what was given to the detector, upright: pixels, or an image of Pillow (see
                ``ImageLike``). For a path or bytes read them first: ``cv2.imread(path)``.

        Raises:
            InvalidInput: ``image`` is none of these, or not of ``image_size``.
            MissingExtra: supervision is not installed.
        """
        require("draw", "supervision")
        from tridet.drawing import draw_boxes

        pixels = pixels_to_draw_on(image)
        height, width = pixels.shape[:2]
        if (width, height) != self.image_size:
            expected = "{} x {}".format(*self.image_size)
            raise InvalidInput(
                f"expected the image that was detected, {expected}, got {width} x {height}"
            )
        texts = [
            ("" if found.track_id is None else f"#{found.track_id} ")
            + f"{found.name} {found.score:.2f}"
            for found in self
        ]
        return draw_boxes(pixels, self.boxes, self.class_ids, texts)


def _set_read_only(
    detections: Detections, name: str, dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    # A view, so that the caller's own array stays as writable as it was.
    view = np.asarray(getattr(detections, name), dtype=dtype).reshape(shape).view()
    view.flags.writeable = False
    object.__setattr__(detections, name, view)
