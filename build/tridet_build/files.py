"""Artifacts: written in one step, so that whoever reads sees the old or the new; and hashed."""

import hashlib
from pathlib import Path

from tridet.files import replacing


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file, and make its folders; a crash or a full disk leaves the old one.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        # Whatever the umask says: a server in a container runs as another user. Not a device's.
        if temporary.is_file():
            temporary.chmod(0o644)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()
