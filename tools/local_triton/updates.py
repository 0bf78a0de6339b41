"""What changes in the repository of a running server, taken in without a restart."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from .checks import check_numpy_use
from .errors import ModelLoadError, RepositoryError, ServerExitedError
from .server import LocalServer

_STEP = re.compile(r'\bmodel_name\s*:\s*"([^"]+)"')
_SHAPE = re.compile(r"\b(?:dims|max_batch_size)\s*:\s*[-\d\[][-\d,\s\]]*")
_PYTHON = re.compile(r'\bbackend\s*:\s*"python"')


@dataclass(frozen=True)
class _Model:
    """A model as it stands in the repository.

    Attributes:
        config: the text of the config that is served.
        files: path, time of change (ns), size and inode of each file, so that a file that is
            replaced by one of the same size and time is seen as well.
    """

    config: str
    files: frozenset[tuple[str, int, int, int]]

    @property
    def steps(self) -> set[str]:
        """The models that it needs, where it is an ensemble."""
        return set(_STEP.findall(self.config))

    @property
    def shapes(self) -> list[str]:
        """The shapes of its tensors, as its config has them."""
        return _SHAPE.findall(self.config)

    @property
    def lacks_code(self) -> bool:
        """Whether it is a Python model without its code, for which Triton 2.51 waits for ever."""
        return bool(_PYTHON.search(self.config)) and not any(
            path.endswith("/model.py") for path, *_ in self.files
        )


_Models: TypeAlias = Mapping[str, _Model]


class RepositoryUpdates:
    """Lets a server that was made with ``explicit`` follow its repository: ``look`` each second.

    Files are replaced one by one, so a change counts when nothing more has changed from one look
    to the next. What fails to load leaves what was served before.

    Args:
        server: not started yet.
        say: called with each line that tells what was done, or why it could not be.
        models: as of the server: all others are left alone.
    """

    def __init__(
        self, server: LocalServer, say: Callable[[str], None], models: Sequence[str] = ()
    ) -> None:
        self._server = server
        self._say = say
        self._chosen = tuple(models)
        self._pid: int | None = None
        # Before the start: what changes while the server loads is taken in after it.
        self._served = self._tried = self._seen = self._read() or {}

    def look(self) -> None:
        """Take in what has changed, and has not changed again since the last look."""
        found = self._read()
        if not found:
            return  # being written, or gone altogether: better an old model than none
        pid = self._server.pid
        if pid != self._pid and self._pid is not None:
            # Another process: it has loaded what was there, since the last look at least.
            self._served = self._tried = self._seen
        self._pid = pid
        settled, self._seen = found == self._seen, found
        if not settled or found == self._tried:
            return
        try:
            self._server.models()
            self._served = self._take_in(found)
        except ServerExitedError:
            return  # it is being started again: the next look
        self._tried = found

    def _read(self) -> dict[str, _Model] | None:
        """The models by name; None where one went away meanwhile."""
        name = self._server.model_config_name
        found: dict[str, _Model] = {}
        try:
            for folder in self._server.repository.iterdir():
                configs = [folder / "configs" / f"{name}.pbtxt"] if name else []
                for config in (*configs, folder / "config.pbtxt"):
                    if config.is_file():
                        text = config.read_text(encoding="utf-8", errors="replace")
                        found[folder.name] = _Model(text, frozenset(_files(folder)))
                        break
        except OSError:
            return None
        return found

    def _take_in(self, found: _Models) -> dict[str, _Model]:
        """Load and unload what differs from what is served; what is served then."""
        before = self._served
        self._unload(before, found)
        wanted = _with_steps(self._chosen, found) if self._chosen else found.keys()
        changed = sorted(name for name in wanted if found[name] != before.get(name))
        order = self._loadable(changed, found)
        ensembles = [name for name in order if found[name].steps]
        new = [name for name in order if not found[name].steps and name not in before]
        old = [name for name in order if not found[name].steps and name in before]
        # Steps first, so that an ensemble never gets the labels of a network that does not load.
        # But a step of other shapes would make the ensembles invalid that are being served: those
        # first, as Triton takes in with an ensemble what has changed of its steps.
        reshaped = any(found[name].shapes != before[name].shapes for name in old)
        failed = set(changed) - set(order)
        began = time.monotonic()
        loaded = []
        for name in (*new, *ensembles, *old) if reshaped else (*new, *old, *ensembles):
            if needed := failed & found[name].steps:
                self._tell_failure(name, f"its step {min(needed)!r} failed")
                failed.add(name)
                continue
            try:
                self._server.load(name)
                loaded.append(name)
            except ModelLoadError as error:
                failed.add(name)
                self._tell_failure(name, error.failures[name])
        if loaded:
            self._say(f"loaded {', '.join(loaded)} in {time.monotonic() - began:.1f} s")
        kept = before.keys() & found.keys()
        return {**{name: before[name] for name in kept}, **{name: found[name] for name in loaded}}

    def _loadable(self, changed: Iterable[str], found: _Models) -> list[str]:
        """Those that Triton may be told to load; says why it may not the others."""
        try:
            check_numpy_use(np.__version__, self._server.repository)
        except RepositoryError as error:
            self._say(f"warning: nothing is loaded: {error}")
            return []
        fine = []
        for name in changed:
            missing = sorted(found[name].steps - found.keys())
            if missing:
                self._tell_failure(name, f"its step {missing[0]!r} is not in the repository")
            elif found[name].lacks_code:
                self._tell_failure(name, "it has no model.py in a version folder")
            else:
                fine.append(name)
        return fine

    def _unload(self, before: _Models, found: _Models) -> None:
        gone = before.keys() - found.keys()
        if self._chosen:
            gone &= _with_steps(self._chosen, before)
        needed = {step for model in found.values() for step in model.steps}
        for name in sorted(gone & needed):
            self._say(f"warning: {name} is gone from the repository, but another model needs it")
        gone -= needed
        for name in sorted(gone, key=lambda name: (not before[name].steps, name)):
            try:
                self._server.unload(name)
            except ModelLoadError as error:
                self._say(f"warning: {error}")
        if gone:
            self._say(f"unloaded {', '.join(sorted(gone))}")

    def _tell_failure(self, name: str, reason: str) -> None:
        serves = self._server.models().get(name) == "READY"
        state = "what was served before goes on" if serves else "it is not served"
        self._say(f"warning: {name} is not loaded, {state}: {reason}")


def _files(folder: Path) -> Iterable[tuple[str, int, int, int]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(parent, name)
            found = path.stat() if path.exists() else path.lstat()  # a link that leads nowhere
            inner = str(path.relative_to(folder))
            yield inner, found.st_mtime_ns, found.st_size, found.st_ino


def _with_steps(names: Iterable[str], models: _Models) -> set[str]:
    """These of the models and those that they need."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in models and name not in found:
            found.add(name)
            left += models[name].steps
    return found
