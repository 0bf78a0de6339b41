"""SHA-256 of files: what tells one artifact from another."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sha256_of_all(paths: Iterable[Path]) -> str:
    """SHA-256 over those of several files, whatever their names and order."""
    return hashlib.sha256("\n".join(sorted(map(sha256_of, paths))).encode()).hexdigest()
