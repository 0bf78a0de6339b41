"""Save a picture of a web page, as a browser without a window shows it.

    python tools/page_screenshot.py http://127.0.0.1:8080/ out/page.png --size 1440x900

Needs Chromium or Chrome on this machine (Debian and Ubuntu: apt-get install chromium) and the
package playwright, which drives it.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

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


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT in pixels, got {text!r}")
    width, height = text.split("x")
    return int(width), int(height)


def main() -> int:
    """Take the picture; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("path", type=Path, metavar="PNG")
    parser.add_argument("--size", type=_size, default="1440x900", metavar="WIDTHxHEIGHT")
    parser.add_argument(
        "--ready", default="canvas[data-frame]", metavar="CSS", help="wait until this is there"
    )
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS")
    arguments = parser.parse_args()
    try:
        screenshot(
            arguments.url, arguments.path, arguments.size, arguments.ready, arguments.timeout
        )
    except (PageError, OSError) as error:
        print(f"page_screenshot: error: {error}", file=sys.stderr)
        return 1
    print(f"saved {arguments.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
