"""A group of detectors that run on one preprocess, ``models/<group>/group.toml``.

Its members keep their own manifests; what they must have in common is checked here, so that later
stages can rely on it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, model_validator
from pydantic.dataclasses import dataclass
from tridet.groups import combined_labels

from tridet_build.errors import ManifestError
from tridet_build.manifest.manifest import Manifest, Name
from tridet_build.manifest.toml import STRICT, read_toml

GROUP_FILE = "group.toml"


@dataclasses.dataclass(frozen=True)
class Group:
    """Detectors that one request runs together.

    Attributes:
        name: folder name and name of the ensemble that is served.
        members: their manifests, two or more, in the order of their class ids.
    """

    name: str
    members: tuple[Manifest, ...]


@dataclass(frozen=True, config=STRICT)
class _GroupFile:
    name: Name
    group: tuple[Name, ...]

    @model_validator(mode="after")
    def _several(self) -> "_GroupFile":
        if len(self.group) < 2:
            raise ValueError(f"group: expected two detectors or more, got {len(self.group)}")
        twice = sorted({name for name in self.group if self.group.count(name) > 1})
        if twice:
            raise ValueError(f"group: expected different detectors, got {', '.join(twice)} twice")
        return self


_GROUP_FILE = TypeAdapter(_GroupFile)


def load_groups(
    models: Path,
    manifests: Sequence[Manifest],
    *,
    all_loaded: bool,
    on_error: Callable[[ManifestError], None] | None = None,
) -> list[Group]:
    """Read the groups of a folder of detectors.

    Args:
        models: the folder.
        manifests: the detectors that are rendered.
        all_loaded: they are all of the folder, so a group with another member is an error;
            otherwise it is left out.
        on_error: told what is raised otherwise; that group is left out.

    Raises:
        ManifestError: a file is malformed; a group has an unknown member, another's name, or
            members that do not fit together.
    """
    by_name = {manifest.name: manifest for manifest in manifests}
    groups: dict[str, Group] = {}
    for path in sorted(models.glob(f"*/{GROUP_FILE}")):
        try:
            group = _load_group(path, by_name, all_loaded=all_loaded)
            if group and group.name in groups:
                raise ManifestError(f"{path}: name: {group.name!r} is another group's name already")
        except ManifestError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            if group:
                groups[group.name] = group
    return list(groups.values())


def _load_group(path: Path, by_name: Mapping[str, Manifest], *, all_loaded: bool) -> Group | None:
    file = read_toml(path, _GROUP_FILE)
    unknown = [name for name in file.group if name not in by_name]
    if unknown and not all_loaded:
        return None
    if unknown:
        raise ManifestError(
            f"{path}: group: expected detectors among {', '.join(sorted(by_name))}, "
            f"got {', '.join(unknown)}"
        )
    if file.name in by_name:
        raise ManifestError(f"{path}: name: {file.name!r} is another detector's name already")
    group = Group(file.name, tuple(by_name[name] for name in file.group))
    _check_common(path, group)
    return group


def _check_common(path: Path, group: Group) -> None:
    """Refuse members that cannot share the preprocess, or one request's thresholds."""
    for key, values in (
        ("input_size", [m.input_size for m in group.members]),
        ("thresholds.iou", [m.thresholds.iou for m in group.members]),
        ("thresholds.agnostic", [m.thresholds.agnostic for m in group.members]),
    ):
        if any(value != values[0] for value in values):
            found = ", ".join(
                f"{value} ({member.name})"
                for value, member in zip(values, group.members, strict=True)
            )
            raise ManifestError(f"{path}: group: expected one {key} of all, got {found}")
    labels = combined_labels([(member.name, member.labels) for member in group.members])
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ManifestError(
            f"{path}: group: expected labels that differ with their detectors' names before them, "
            f"got {', '.join(twice)} twice"
        )
