"""The pages for readers: every link leads somewhere, and every command in them exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import tridet
from tridet.cli.main import cli as tridet_cli
from tridet_build.cli.main import cli as tridet_build_cli

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = {"tridet": tridet_cli, "tridet-build": tridet_build_cli}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Of a page's own code: what stands in a fence is no heading and no link.
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_links_lead_somewhere(page: Path) -> None:
    prose = _FENCE.sub("", page.read_text())
    lost = []
    for link in _LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/])((?:tools|tests|docs|build|client|deploy|models/pcb)/[\w/.-]+)",
        page.read_text(),
    )
    paths = {name.rstrip("./-") for name in named}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pages
def test_commands_exist(page: Path) -> None:
    wrong = [problem for line in command_lines(page) for problem in problems(line)]
    assert wrong == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_the_site_shows_every_page(page: Path) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert re.search(rf"[ :-] {re.escape(str(page.relative_to(DOCS)))}$", navigation, re.MULTILINE)


def test_the_reference_has_every_public_name() -> None:
    described = set(re.findall(r"^::: tridet\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert described == set(tridet.__all__) - {"__version__"}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"\s+", "-", text) for text in words}


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command of ours in a page's shell blocks and code spans."""
    text = page.read_text()
    lines = [
        line for block in _SHELL.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in lines + _CODE_SPAN.findall(_FENCE.sub("", text)):
        for command in re.split(r"&&|\|\|", line):
            try:
                words = shlex.split(command, comments=True)
            except ValueError:  # a line of a longer quotation
                continue
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def problems(words: list[str]) -> Iterator[str]:
    """Yield what of a command does not exist: its target, its subcommand, its options."""
    program, *rest = words
    if program == "make":
        for word in rest:
            if "=" not in word and word not in make_targets():
                yield f"make has no target {word}"
        return
    if program == "python" and rest[:2] == ["-m", "tridet_build"]:
        program, rest = "tridet-build", rest[2:]
    if program == "python" and rest and rest[0].startswith("tools/"):
        source = tool_source(ROOT / rest[0])
        for option in options(rest[1:]):
            if not re.search(rf'"{option}["/]', source):
                yield f"{rest[0]} has no option {option}"
    if program not in COMMANDS or not rest or rest[0].startswith("-"):
        return
    group = COMMANDS[program]
    subcommand = group.get_command(click.Context(group), rest[0])
    if subcommand is None:
        yield f"{program} has no command {rest[0]}"
        return
    known = {"--help", "-h"}
    for parameter in subcommand.params:
        known.update([*parameter.opts, *parameter.secondary_opts])
    for option in options(rest[1:]):
        if option not in known:
            yield f"{program} {rest[0]} has no option {option}"


def options(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def tool_source(script: Path) -> str:
    """Return the text of a script, and of the package beside it that has its name."""
    package = script.with_suffix("")
    return "".join(path.read_text() for path in [script, *package.glob("*.py")])
