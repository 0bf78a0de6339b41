"""Remove from a repository what was rendered of detectors and groups that are there no more."""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tridet_build.errors import RepositoryError
from tridet_build.repository.configs import RENDERED, detector_name, ensemble_names

_CONFIG: Final = "config.pbtxt"
_STEP: Final = re.compile(r'^\s*model_name\s*:\s*"([^"]+)"', re.MULTILINE)


def prune(root: Path, rendered: Collection[str], outlasting: Collection[str]) -> list[str]:
    """Remove the model folders that an earlier rendering left, and return their names.

    A folder without the mark of ``tridet-build`` in its ``config.pbtxt`` is somebody else's and
    stays, as do the steps that it uses.

    Args:
        root: the repository.
        rendered: the model folders of this rendering.
        outlasting: detectors whose earlier rendering stays, with the steps that it uses.

    Raises:
        RepositoryError: a folder cannot be read or removed.
    """
    try:
        configs = {path.parent.name: _text(path) for path in root.glob(f"*/{_CONFIG}")}
        others = [name for name, text in configs.items() if not _is_ours(root, name, text)]
        for name in outlasting:
            others += [detector_name(name), *ensemble_names(name)]
        used = set(rendered)
        while others:
            used.add(name := others.pop())
            others += set(_STEP.findall(configs.get(name, ""))) - used
        gone = sorted(configs.keys() - used)
        for name in gone:
            _remove(root / name)
    except OSError as error:
        raise RepositoryError(f"{root}: cannot be pruned: {error}") from None
    return gone


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _is_ours(root: Path, name: str, config: str) -> bool:
    return config.startswith(RENDERED) and not (root / name).is_symlink()


def _remove(folder: Path) -> None:
    # The config last: it says that what a crash leaves is ours to remove.
    for path in folder.iterdir():
        if path.name == _CONFIG:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / _CONFIG).unlink()
    folder.rmdir()
