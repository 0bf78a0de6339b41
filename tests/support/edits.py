"""Change files of a test, and notice when the file has become another and the change missed."""

from pathlib import Path


def replace_in(path: Path, old: str, new: str) -> None:
    """Replace a text that stands in the file once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: expected {old!r} once, found it {text.count(old)} times"
    path.write_text(text.replace(old, new))


def slow_down(repository: Path, detector: str, seconds: float) -> None:
    """Let a rendered detector step take so much longer for each batch, with the python runtime."""
    start = "    def execute(self, requests: list[Any]) -> list[Any]:\n"
    pause = f"        __import__('time').sleep({seconds})\n"
    replace_in(repository / f"{detector}_detector" / "1" / "model.py", start, start + pause)
