"""One picture for all sinks."""

from __future__ import annotations

import threading
import weakref

import pytest
from stream_results import made_up
from tridet.streaming.sinks.picture import SharedDraw


def test_a_picture_is_drawn_once_for_all_sinks_and_forgotten_with_its_result():
    drawn = []

    def draw(result):
        drawn.append(result.frame.index)
        return result.frame.pixels + 1

    shared = SharedDraw(draw)
    result = made_up(3)
    ready = threading.Barrier(8)
    pictures = []

    def ask(asked) -> None:
        ready.wait()
        pictures.append(shared(asked))

    threads = [threading.Thread(target=ask, args=(result,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while threads:
        threads.pop().join()
    del thread
    assert drawn == [3]
    assert all(picture is pictures[0] for picture in pictures)
    with pytest.raises(ValueError, match="read-only"):
        pictures[0][0] = 0
    result.frame.pixels[0] = 0  # the frame itself stays as writable as it was
    picture = weakref.ref(pictures.pop())
    pictures.clear()
    assert picture() is not None
    del result
    assert picture() is None
