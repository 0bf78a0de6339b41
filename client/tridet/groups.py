"""A group of detectors as one: combined labels, thresholds per member, merged detections.

The nms step on the server sees one set of thresholds for all members. It is sent the loosest, and
the rest is filtered here. That is exact: a stronger box is never suppressed by a weaker one, nor by
one of another class, so what is dropped afterwards would have changed nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tridet.exceptions import ContractMismatch, InvalidInput
from tridet.options import Parameters, parameters_from_thresholds
from tridet.processing.contract import AGNOSTIC, CLASSES, CONF, MAX_DET
from tridet.processing.parameters import class_ids_from_text

Found: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]
"""Boxes float32 [n, 4], scores float32 [n] descending, class ids int32 [n]."""

_ALL = 2**31 - 1  # more than any detector has candidates


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A detector in a group; one that is served alone is its own and only member."""

    name: str
    labels: tuple[str, ...]
    """Its own class names."""
    class_ids: range
    """Which of the group's class ids are its own, in the order of ``labels``."""
    precision: str
    """``fp32``, ``fp16`` or ``int8``."""
    defaults: Mapping[str, Any]
    """Thresholds that apply where none are given."""
    build: Mapping[str, Any]
    """Where the served weights come from."""


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """What to keep of one member's detections."""

    conf: float
    max_det: int
    classes: frozenset[int] | None
    """Class ids of the group; None keeps all."""


def combined_labels(members: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """Return the labels of (name, labels) one after the other; ``name/label`` where two share it.

    >>> combined_labels([("person", ["person", "bag"]), ("hairnet", ["hairnet", "bag"])])
    ('person', 'person/bag', 'hairnet', 'hairnet/bag')
    """
    owners = Counter(label for _, labels in members for label in set(labels))
    return tuple(
        f"{name}/{label}" if owners[label] > 1 else label
        for name, labels in members
        for label in labels
    )


def parameters_and_filters(
    thresholds: Mapping[str, Any], members: Sequence[MemberInfo], labels: tuple[str, ...]
) -> tuple[Parameters, tuple[MemberFilter, ...]]:
    """Split thresholds into what all members are asked, and what is kept of each afterwards.

    A detector that is alone needs no filter.

    Args:
        thresholds: those that are ``given``; the members' defaults stand in for the others.
        members: of the group; or the one detector.
        labels: the combined ones.

    Raises:
        InvalidInput: a threshold is not acceptable, or cannot be applied afterwards.
    """
    wished = [
        parameters_from_thresholds({**member.defaults, **thresholds}, labels) for member in members
    ]
    if len(members) == 1:
        return wished[0], ()
    shared = dict(wished[0])
    classes = shared.pop(CLASSES, None)
    if classes is not None and shared[AGNOSTIC]:
        raise InvalidInput(
            f"{CLASSES}: expected none beside agnostic=True in a group, got {thresholds[CLASSES]!r}"
            "; boxes of the other classes would suppress theirs before they are cut"
        )
    kept = None
    if isinstance(classes, str):
        kept = frozenset(class_ids_from_text(classes))
    filters = tuple(MemberFilter(float(wish[CONF]), int(wish[MAX_DET]), kept) for wish in wished)
    return {**shared, CONF: min(one.conf for one in filters), MAX_DET: _ALL}, filters


def merged(
    found: Sequence[Found], members: Sequence[MemberInfo], filters: Sequence[MemberFilter]
) -> Found:
    """Filter what each member found, and merge it: the group's class ids, strongest first.

    Raises:
        ContractMismatch: a member found a class that it has no label for; its ids would be those of
            the next member.
    """
    if not filters:
        return found[0]
    parts: list[Found] = []
    for (boxes, scores, own_ids), member, wanted in zip(found, members, filters, strict=True):
        if own_ids.max(initial=0) >= len(member.class_ids):
            raise ContractMismatch(
                f"detector {member.name!r}: expected class ids below {len(member.class_ids)}, as "
                f"many as it has labels, got {own_ids.max()}; build the model again"
            )
        class_ids = own_ids + np.int32(member.class_ids.start)
        # In float64, as the server compares; in float32 a score may pass that it would drop.
        keep = scores.astype(np.float64) >= wanted.conf
        if wanted.classes is not None:
            keep &= np.isin(class_ids, sorted(wanted.classes))
        rows = np.flatnonzero(keep)[: wanted.max_det]
        parts.append((boxes[rows], scores[rows], class_ids[rows]))
    boxes, scores, class_ids = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order], class_ids[order]
