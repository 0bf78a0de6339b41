"""Apply a function to many items on several threads: in order, and never far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ordered_map(function: Callable[[S], T], items: Iterable[S], in_flight: int) -> Iterator[T]:
    """Yield ``function(item)`` for each item, in the order of the items.

    At most ``in_flight`` items have been taken from ``items`` without their result having been
    yielded, so memory does not grow with the number of items. ``items`` is read in the caller's
    thread. An error of the function is raised here, at its item's turn; what has not started by
    then never will.
    """
    pending: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="tridet")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) == in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Not waiting: after an error or Ctrl-C the caller should not sit out the others' requests.
        pool.shutdown(wait=False, cancel_futures=True)
