"""tools/boards.py: its messages."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOLS / "boards.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--train", "-1"), "--train must be between 0 and"),
        ((), "nothing to draw"),
        (("--train", "1", "--seed", "-2"), "--seed must be 0 or more"),
        (("--train", "1", "--clean-fraction", "1.5"), "--clean-fraction must be between 0 and 1"),
        (("--train", "1", "--workers", "0"), "--workers must be 1 or more"),
    ],
)
def test_bad_arguments_give_one_line_and_write_nothing(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run_cli("--out", str(tmp_path / "out"), *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    result = run_cli("--out", str(out), "--val", "1", "--workers", "1")
    assert result.returncode == 1
    assert "add --overwrite" in result.stderr
    assert files_of(out) == {"precious.txt": b"mine"}
    assert run_cli("--out", str(out), "--val", "1", "--workers", "1", "--overwrite").returncode == 0
    assert "precious.txt" not in files_of(out)
    assert (out / "data.yaml").is_file()
