"""Results on their way to a caller who is too slow."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from tridet.streaming.outbox import Outbox


def result(source, index):
    return SimpleNamespace(frame=SimpleNamespace(source=source, index=index))


def test_a_slow_caller_gets_the_newest_of_what_is_live():
    async def run():
        outbox = Outbox()
        for index in range(100):
            await outbox.put(result("a", index), policy="latest")
            await outbox.put(result("b", index), policy="latest")
        outbox.close()
        got = []
        while (one := outbox.get()) is not None:
            got.append((one.frame.source, one.frame.index))
        return got

    assert sorted(asyncio.run(run())) == [("a", 98), ("a", 99), ("b", 98), ("b", 99)]


@pytest.mark.parametrize("blocking_reader", [True, False])
def test_a_file_waits_for_a_slow_caller(blocking_reader):
    async def run():
        outbox = Outbox()
        put = []

        async def fill():
            for index in range(50):
                await outbox.put(result("a", index), policy="all")
                put.append(index)
            outbox.close()

        filling = asyncio.create_task(fill())
        got = []
        while True:
            await asyncio.sleep(0.001)
            assert len(put) - len(got) <= 8
            one = await (asyncio.to_thread(outbox.get) if blocking_reader else outbox.get_async())
            if one is None:
                break
            got.append(one.frame.index)
        await filling
        return got

    assert asyncio.run(asyncio.wait_for(run(), 30)) == list(range(50))
