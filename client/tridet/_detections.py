"""What a detector returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The objects found in one image, strongest first. The arrays are read-only.

    Iterating gives one ``Detection`` per object.
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

    def __post_init__(self) -> None:
        _set_read_only(self, "boxes", np.float32, (-1, 4))
        _set_read_only(self, "scores", np.float32, (-1,))
        _set_read_only(self, "class_ids", np.int32, (-1,))
        if not len(self.boxes) == len(self.scores) == len(self.class_ids):
            raise ValueError(
                f"expected as many scores and class_ids as boxes, got {len(self.boxes)} boxes, "
                f"{len(self.scores)} scores, {len(self.class_ids)} class_ids"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, class_id in zip(
            self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True
        ):
            yield Detection(tuple(box), score, class_id, self._name(class_id))

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each detection, n of them."""
        return tuple(self._name(class_id) for class_id in self.class_ids.tolist())

    def _name(self, class_id: int) -> str:
        known = 0 <= class_id < len(self.labels)
        return self.labels[class_id] if known else f"class {class_id}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that ``json.dumps`` takes; pixels to 3 decimals, scores to 6."""
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
                }
                for found in self
            ],
        }

    def to_supervision(self) -> supervision.Detections:
        """Return supervision's ``Detections``, class names in its data field ``class_name``."""
        import supervision

        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.class_ids.astype(int),
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )

    def annotate(self, image: UInt8Array) -> UInt8Array:
        """Return a copy of ``image`` with the boxes and their labels drawn on it.

        Args:
            image: uint8 [h, w, 3], BGR: the image that was given to the detector, upright.

        Raises:
            InvalidInput: ``image`` is not such an array, or not of ``image_size``.
        """
        from tridet._drawing import annotate

        return annotate(image, self)


def _set_read_only(
    detections: Detections, name: str, dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    # A view, so that the caller's own array stays as writable as it was.
    view = np.asarray(getattr(detections, name), dtype=dtype).reshape(shape).view()
    view.flags.writeable = False
    object.__setattr__(detections, name, view)
