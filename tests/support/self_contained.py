"""Whether a page needs anything that is not in it."""

import re
from html.parser import HTMLParser
from pathlib import Path


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "img"
        named = {"src", "href", "xlink:href", "srcset", "data", "action"}
        self.links += [value or "" for name, value in attrs if name in named]


def check_self_contained(page: Path) -> int:
    """Fail if the page refers to anything outside; return how many pictures it has."""
    text = page.read_text(encoding="utf-8")
    parser = _Links()
    parser.feed(text)
    outside = [link for link in parser.links if not link.startswith(("data:image/", "#"))]
    assert not outside
    assert not {"<script", "@import", "<link", "<iframe"} & set(re.findall(r"<\w+|@import", text))
    # The names of XML vocabularies look like addresses, but nobody fetches them.
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    return parser.pictures
