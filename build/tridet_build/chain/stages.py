"""Run a stage only if what goes into it has changed since it was last done.

A stage makes one file. Beside it, in the work folder, stands ``<stage>.json``: a key over the
stage's inputs, the hash of the file, and what the stage had to report. The file is written first,
so that a stage which was cut off is done anew.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from tridet.versions import installed_versions

from tridet_build.errors import BuildError
from tridet_build.files import sha256_of, write_atomically

Report: TypeAlias = dict[str, Any]

_OWN_PACKAGES: Final = ("tridet", "tridet-build")


@dataclass(frozen=True)
class Done:
    """A stage that was done, now or earlier.

    Attributes:
        key: hash over its inputs.
        output_sha256: of the file that it made.
        seconds: that it took.
        report: what it had to say, plain values only.
    """

    key: str
    output_sha256: str
    seconds: float
    report: Report


_DONE = TypeAdapter(Done)


class Stages:
    """The stages of one detector.

    Args:
        folder: the work folder.
        force: do every stage anew.
        say: told in a line what is done and what is skipped.
    """

    def __init__(self, folder: Path, *, force: bool, say: Callable[[str], None]) -> None:
        self.folder = folder
        self._force, self.say = force, say

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        out: Path,
        make: Callable[[], Report],
        *,
        tools: Iterable[str] = (),
    ) -> Done:
        """Make ``out`` unless it is there and was made from the same inputs by the same tools.

        Args:
            name: of the stage.
            inputs: all that decides how ``out`` comes out: hashes and settings, as JSON takes them.
            out: the file.
            make: writes ``out`` and returns its report, plain values only.
            tools: packages whose versions decide how ``out`` comes out, beside our own.

        Raises:
            BuildError: the stage failed; or its note cannot be written.
        """
        versions = installed_versions((*_OWN_PACKAGES, *tools))
        all_inputs = {"inputs": inputs, "tools": versions}
        key = hashlib.sha256(json.dumps(all_inputs, sort_keys=True).encode()).hexdigest()
        note = self.folder / f"{name}.json"
        done = None if self._force else _read(note)
        if done and done.key == key and out.is_file() and sha256_of(out) == done.output_sha256:
            self.say(f"{name}: unchanged, skipped")
            return done
        self.say(f"{name} …")
        started = time.monotonic()
        report = make()
        done = Done(key, sha256_of(out), round(time.monotonic() - started, 2), report)
        try:
            write_atomically(note, _DONE.dump_json(done, indent=2))
        except OSError as error:
            raise BuildError(f"{note}: cannot be written: {error.strerror}") from None
        return done


def _read(note: Path) -> Done | None:
    try:
        return _DONE.validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None
