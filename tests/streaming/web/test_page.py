"""The live page in a real browser: Chromium without a window.

Where there is no Chromium these tests fail, with a message that says how to get it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from page_screenshot import FLAGS, find_browser
from playwright.sync_api import sync_playwright
from synthetic_cameras import Studio, SyntheticCamera
from tridet.streaming.stats import State
from tridet.streaming.web import WebSink

pytestmark = [pytest.mark.cameras, pytest.mark.timeout(120)]

NASTY = "<img src=x onerror=\"document.title='hacked'\"> & 'gate'/#1"
PIXELS = "name => document.querySelector(`[data-name=${name}] canvas`).toDataURL()"
FRAMES = "() => [...document.querySelectorAll('canvas')].map(canvas => +canvas.dataset.frame)"
SCREENSHOT = Path(__file__).parents[3] / "tools/page_screenshot.py"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page on which nothing may go wrong and nothing may be asked of another host."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: page.hosts.add(request.url.split("/")[2]))
    page.hosts = set()
    yield page
    page.close()
    # A page whose server has stopped tries to reach it again; Chromium reports that it could not.
    assert [problem for problem in problems if "WebSocket connection to" not in problem] == []
    assert len(page.hosts - {""}) == 1


@pytest.fixture
def live():
    """Return a function: it starts cameras and a page that shows them."""
    running: list[tuple[Studio, WebSink]] = []

    def start(*cameras: SyntheticCamera, fps: float = 25.0) -> WebSink:
        studio = Studio(list(cameras), fps)
        sink = WebSink(":0", studio.snapshots)
        running.append((studio, sink))
        studio.show_to(sink).__enter__()
        return sink

    yield start
    for studio, sink in running:
        studio.__exit__()
        sink.close()


def until(page, predicate: str, argument: object = None) -> None:
    """Wait until the page's function ``predicate`` of ``argument`` is true."""
    # Not page.wait_for_function, which the page's own security policy forbids.
    while not page.evaluate(predicate, argument):
        page.wait_for_timeout(50)


def numbers_of(page, name: str) -> str:
    return page.locator(f"[data-name={name}] .numbers").inner_text()


def test_two_cameras(live, page):
    cameras = [SyntheticCamera("north"), SyntheticCamera("south", (480, 360), 1)]
    page.goto(live(*cameras).url)
    until(page, f"() => ({FRAMES})().filter(frame => frame > 0).length === 2")
    assert page.title() == "2/2 live · tridet"
    assert page.locator("#summary").inner_text() == "2 of 2 cameras live"
    for name, size in (("north", [640, 360]), ("south", [480, 360])):
        canvas = page.get_by_role("img", name=f"Picture of {name}, live")
        assert canvas.is_visible()
        assert canvas.evaluate("canvas => [canvas.width, canvas.height]") == size
        assert page.get_by_role("link", name=f"Show {name} full size").is_visible()
        camera = page.locator(f"[data-name={name}]")
        assert camera.locator(".badge").inner_text() == "live"
        assert not camera.locator(".overlay").is_visible()
        # Pictures change and numbers move.
        pixels = page.evaluate(PIXELS, name)
        until(page, f"([name, old]) => ({PIXELS})(name) !== old", [name, pixels])
        dropped = camera.locator(".drops").inner_text()
        until(
            page,
            "([name, old]) => document.querySelector(`[data-name=${name}] .drops`).textContent"
            " !== old",
            [name, dropped],
        )
        numbers = numbers_of(page, name).split()
        assert numbers[::3] == ["in", "out", "p50", "p95"]
        assert all(float(number) > 0 for number in numbers[1::3])
        assert numbers[2::3] == ["fps", "fps", "ms", "ms"]


def test_boxes_are_on_the_picture(live, page):
    camera = SyntheticCamera("north")
    result = camera.next()
    assert len(result.detections) > 0
    sink = live(camera, fps=1e-3)
    sink.write(result)
    page.goto(sink.url)
    page.wait_for_selector("canvas[data-frame='0']")
    x1, y1, x2, _ = map(int, result.detections.boxes[0])
    read = "([x, y]) => [...document.querySelector('canvas').getContext('2d')"
    red, green, blue = page.evaluate(
        f"{read}.getImageData(x, y, 1, 1).data].slice(0, 3)", [(x1 + x2) // 2, y1]
    )
    expected = result.detections.annotate(result.frame.pixels)[y1, (x1 + x2) // 2]
    plain = result.frame.pixels[y1, (x1 + x2) // 2]
    shown = cv2.cvtColor(expected.reshape(1, 1, 3), cv2.COLOR_BGR2RGB).ravel().tolist()
    assert [red, green, blue] == pytest.approx(shown, abs=60)  # JPEG blurs a thin line
    assert abs(expected.astype(int) - plain).max() > 60


def test_more_cameras_than_a_browser_opens_connections(live, page):
    cameras = [SyntheticCamera(f"cam{index}", (160, 120), index) for index in range(12)]
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(live(*cameras, fps=12).url)
    until(page, f"() => ({FRAMES})().filter(frame => frame > 0).length === 12")
    before = page.evaluate(FRAMES)
    until(page, f"old => ({FRAMES})().every((now, i) => now > old[i])", before)


def test_no_signal_and_back(live, page):
    north, south = SyntheticCamera("north"), SyntheticCamera("south")
    page.goto(live(north, south).url)
    until(page, f"() => ({FRAMES})().filter(frame => frame > 0).length === 2")
    north.stats.enter(State.RECONNECTING, "connection refused")
    until(page, "() => document.title === '1/2 live · tridet'")
    camera = page.locator("[data-name=north]")
    overlay = camera.locator(".overlay").inner_text()
    assert overlay.split("\n") == ["no signal", "reconnecting (connection refused)"]
    assert camera.locator(".badge").inner_text() == "reconnecting"
    assert camera.locator(".reconnects").inner_text() == "1 reconnect"
    brightness = "element => getComputedStyle(element).filter"
    assert "brightness(0.35)" in camera.locator("canvas").evaluate(brightness)
    last = page.evaluate(FRAMES)
    until(page, f"old => ({FRAMES})()[1] > old[1] + 5", last)
    north.stats.enter(State.LIVE)
    until(page, f"old => ({FRAMES})()[0] > old[0]", last)
    until(page, "() => document.title === '2/2 live · tridet'")
    assert not camera.locator(".overlay").is_visible()


def test_full_size(live, page):
    page.goto(live(SyntheticCamera("north"), SyntheticCamera(NASTY)).url)
    until(page, f"() => ({FRAMES})().filter(frame => frame > 0).length === 2")
    # A name is text wherever it stands.
    assert page.get_by_role("heading", name=NASTY).is_visible()
    assert page.locator("main img").count() == 0
    page.get_by_role("link", name="Show north full size").click()
    full = page.locator(".camera.full")
    assert full.bounding_box() == {"x": 0, "y": 0, "width": 1440, "height": 900}
    assert full.locator("h2").inner_text() == "north"
    # Pictures of cameras that nobody sees are not asked for.
    until(page, f"old => ({FRAMES})()[0] > old + 20", page.evaluate(FRAMES)[0])
    assert page.evaluate("[...document.querySelectorAll('article')].map(camera => camera.inert)")[1]
    hidden = page.evaluate(FRAMES)[1]
    until(page, f"old => ({FRAMES})()[0] > old + 20", page.evaluate(FRAMES)[0])
    assert page.evaluate(FRAMES)[1] == hidden
    page.keyboard.press("ArrowRight")
    until(page, f"old => ({FRAMES})()[1] > old", hidden)
    assert full.locator("h2").inner_text() == NASTY
    page.keyboard.press("Escape")
    assert page.locator(".camera.full").count() == 0
    page.get_by_role("link", name="Show north full size").click()
    page.go_back()
    assert page.locator(".camera.full").count() == 0


def test_tridet_stops(live, page):
    sink = live(SyntheticCamera("north"))
    page.goto(sink.url)
    page.wait_for_selector("canvas[data-frame]")
    sink.close()
    alert = page.get_by_role("alert")
    alert.wait_for(state="visible")
    assert alert.inner_text() == "tridet has stopped; the pictures below are the last ones"
    assert page.title() == "not connected · tridet"


def test_phone(live, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(live(*(SyntheticCamera(name) for name in ("north", "south", "east"))).url)
    page.wait_for_selector("[data-name=south] canvas[data-frame]")
    boxes = [camera.bounding_box() for camera in page.locator(".camera").all()]
    assert [box["x"] for box in boxes] == [10, 10, 10]
    assert all(box["width"] == 370 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for cell in page.locator(".numbers div").all():
        assert cell.bounding_box()["x"] + cell.bounding_box()["width"] <= 380


def test_the_screenshot_tool(live, tmp_path):
    sink = live(SyntheticCamera("north"))
    picture = tmp_path / "out" / "page.png"
    command = [sys.executable, SCREENSHOT, sink.url, picture, "--size", "800x600"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"saved {picture}\n"), done.stderr
    image = cv2.imread(str(picture))
    assert image.shape == (600, 800, 3)
    assert (image.max(axis=2) > 200).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PATH": ""}, "expected one of chromium, chromium-browser, google-chrome"),
        ({}, "http://127.0.0.1:9/: Page.goto: net::ERR_"),
    ],
)
def test_the_screenshot_tool_fails(tmp_path, monkeypatch, changes, message):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    picture = tmp_path / "page.png"
    command = [sys.executable, SCREENSHOT, "http://127.0.0.1:9/", picture]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"page_screenshot: error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert not picture.exists()
