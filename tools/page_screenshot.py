"""Save a picture of a web page, as a browser without a window shows it.

    python tools/page_screenshot.py http://127.0.0.1:8080/ out/page.png --size 1440x900

Needs Chromium or Chrome on this machine (Debian and Ubuntu: apt-get install chromium) and the
package playwright, which drives it.
"""

import program

import re
import shutil
from pathlib import Path

import click

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox refuses to start as root, as in a container; the rest keeps it from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class PageError(Exception):
    """There is no browser, or no page."""


def find_browser() -> str:
    """Return the path of Chromium or Chrome.

    Raises:
        PageError: there is none on PATH.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise PageError(
        f"expected one of {', '.join(BROWSERS)} on PATH, found none; "
        "on Debian and Ubuntu: apt-get install chromium"
    )


def screenshot(url: str, path: Path, size: tuple[int, int], ready: str, timeout_s: float) -> None:
    """Open ``url`` in a window of ``size``, wait until ``ready`` matches, save a PNG.

    Raises:
        PageError: there is no browser, nothing answers, or nothing matches in time.
    """
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=[*FLAGS])
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(url, timeout=timeout_s * 1000)
            page.wait_for_selector(ready, timeout=timeout_s * 1000)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(page.screenshot())
        except Error as error:
            raise PageError(f"{url}: {error.message.splitlines()[0]}") from error


def _size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text):
        raise click.BadParameter(f"expected WIDTHxHEIGHT in pixels, got {text!r}")
    width, height = text.split("x")
    return int(width), int(height)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("url")
@click.argument("path", metavar="PNG", type=click.Path(path_type=Path))
@click.option("--size", callback=_size, default="1440x900", metavar="WIDTHxHEIGHT")
@click.option(
    "--ready", default="canvas[data-frame]", metavar="CSS", help="Wait until this is there."
)
@click.option("--timeout", "timeout_s", default=30.0, metavar="SECONDS")
def main(url: str, path: Path, size: tuple[int, int], ready: str, timeout_s: float) -> None:
    """Save a picture of the page at URL, as a browser without a window shows it, as PNG."""
    screenshot(url, path, size, ready, timeout_s)
    print(f"saved {path}")


if __name__ == "__main__":
    program.run(main, "page_screenshot", PageError)
