"""``--show``: a real window on a virtual display. Needs: apt-get install xvfb xdotool."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from stream_results import child_environment, made_up, plain
from tridet import InvalidInput
from tridet.streaming.sinks.show import ShowSink, mosaic

pytestmark = pytest.mark.cameras

SOON_S = 30
# In a process of its own: OpenCV looks for its display once in a program's life.
VIEWER = """
import sys, threading
from stream_results import made_up, plain
from tridet.streaming.sinks.show import ShowSink
quit = threading.Event()
names = sys.argv[1:]
sink = ShowSink(names, plain, quit.set)
index = 0
while not quit.wait(0.02):
    for name in names:
        sink.write(made_up(24, source=name))
    index += 1
    if index == 5:
        print("shown", flush=True)
sink.close()
print("quit", flush=True)
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of a virtual display."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1500x900x24", "-nolisten", "tcp"],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as numbers:
            yield f":{numbers.readline().strip()}"
    finally:
        server.terminate()
        server.wait(SOON_S)


def xdotool(display: str, *arguments: str) -> str:
    done = subprocess.run(
        ["xdotool", *arguments],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=True,
    )
    return done.stdout


class _ClientMessage(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


def ask_to_close(display: str, window: int) -> None:
    """Do what a window manager does when its close button is pressed."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (
        x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    client_message = 33
    event = _ClientMessage(
        client_message, 0, 1, connection, window, protocols, 32, (delete, 0, 0, 0, 0)
    )
    x11.XSendEvent(connection, ctypes.c_ulong(window), 0, 0, ctypes.byref(event))
    x11.XCloseDisplay(connection)


def viewer(display: str, *names: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VIEWER, *names],
        stdout=subprocess.PIPE,
        text=True,
        env={**child_environment(), "DISPLAY": display},
    )


@pytest.mark.parametrize("act", ["q", "Escape", "close"])
def test_a_window_opens_and_the_user_ends_the_run(display, act):
    process = viewer(display, "cam")
    try:
        assert process.stdout.readline() == "shown\n"
        window = xdotool(display, "search", "--sync", "--onlyvisible", "--name", "^tridet$").split()
        if act == "close":
            ask_to_close(display, int(window[0]))
        else:
            xdotool(display, "windowfocus", "--sync", window[0], "key", act)
        assert process.stdout.readline() == "quit\n"
        assert process.wait(SOON_S) == 0
    finally:
        process.kill()
        process.wait()


def test_no_display_is_one_clear_line(monkeypatch):
    # Qt ends the program that asks for a window; the test would not come this far.
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    before = threading.active_count()
    with pytest.raises(InvalidInput, match=r"^--show: expected a display and .* use --web"):
        ShowSink(["cam"], plain, pytest.fail)
    assert threading.active_count() == before


def test_a_window_that_fails_tells_the_next_write(display):
    code = """
import time
from stream_results import made_up
from tridet import SinkFailed
from tridet.streaming.sinks.show import ShowSink
sink = ShowSink(["cam"], lambda result: 1 / 0, print)
try:
    while True:
        sink.write(made_up())
        time.sleep(0.01)
except SinkFailed as error:
    print(error)
sink.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=True,
        env={**child_environment(), "DISPLAY": display},
    )
    assert done.stdout == "--show: division by zero\n"


def test_several_pictures_side_by_side_keep_their_shape():
    bright = [
        made_up(10 + i, size=size).frame.pixels for i, size in enumerate([(1280, 720), (90, 160)])
    ]
    picture = mosaic([bright[0], None, bright[1]])
    assert picture.shape == (720, 1280, 3)
    assert (picture[:360, :640] == 80).all()
    assert (picture[:360, 640:] == 0).all()
    cell = picture[360:, :640]
    columns = np.flatnonzero(cell.any(axis=(0, 2)))
    assert (columns[0], len(columns)) == (219, 202)  # 90:160 at a height of 360, in the middle
    assert not picture[360:, 640:].any()


def test_a_single_picture_is_shown_as_it_is():
    pixels = made_up(3).frame.pixels
    assert mosaic([pixels]) is pixels
