"""Write artifacts in one step: whoever reads, and whatever breaks, sees the old file or the new."""

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
        # Whatever the umask says: a server in a container runs as another user.
        temporary.chmod(0o644)
