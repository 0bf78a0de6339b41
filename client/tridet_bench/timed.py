"""A detector that notes what the time of a request went into."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any

from tridet.async_detector import AsyncDetector
from tridet.flow import Call, Compute, Step
from tridet.images import ImageLike

from tridet_bench.loops import Spent

_Spent = dict[type[Step], float]
_spent: ContextVar[_Spent] = ContextVar("_spent")


class TimedDetector(AsyncDetector):
    """AsyncDetector as users have it; each request must have a task of its own, or its turn."""

    async def timed(self, image: ImageLike) -> Spent:
        """Detect, throw the boxes away and say where the time went."""
        spent: _Spent = {}
        _spent.set(spent)
        await self(image)
        return Spent(spent.get(Compute, 0.0), spent.get(Call, 0.0))

    async def _perform(self, step: Step) -> Any:
        started = time.monotonic()
        try:
            return await super()._perform(step)
        finally:
            spent = _spent.get({})
            spent[type(step)] = spent.get(type(step), 0.0) + time.monotonic() - started
