"""How many requests may be under way: as many as are answered in time."""

from __future__ import annotations

import asyncio

from tridet.streaming.throttle import Throttle


async def grown(most: int, limit: int) -> Throttle:
    throttle = Throttle(most)
    while throttle.limit < limit:
        await throttle.acquire()
        throttle.release(in_time=True)
    return throttle


def test_it_grows_by_one_for_each_round_up_to_the_most():
    async def run():
        throttle = Throttle(3)
        limits = []
        for _ in range(12):
            await throttle.acquire()
            throttle.release(in_time=True)
            limits.append(throttle.limit)
        return limits

    limits = asyncio.run(run())
    assert limits == sorted(limits)
    assert (limits[0], limits[-1]) == (2, 3)


def test_a_late_round_counts_once_and_one_permit_remains():
    async def run():
        throttle = await grown(20, 10)
        for _ in range(10):
            await throttle.acquire()
        for _ in range(10):
            throttle.release(in_time=False)
        after_one_round = throttle.limit
        for _ in range(50):
            await throttle.acquire()
            throttle.release(in_time=False)
        return after_one_round, throttle.limit

    assert asyncio.run(run()) == (7, 1)


def test_permits_go_round():
    async def run():
        throttle = Throttle(1)
        order = []

        async def ask(name):
            for _ in range(3):
                await throttle.acquire()
                order.append(name)
                await asyncio.sleep(0)
                throttle.release()

        await asyncio.gather(*(ask(name) for name in "abc"))
        return "".join(order)

    assert asyncio.run(run()) == "abcabcabc"


def test_who_stops_waiting_loses_no_permit():
    async def run():
        throttle = Throttle(1)
        await throttle.acquire()
        waiting = [asyncio.create_task(throttle.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        throttle.release()
        # It has been given to the second, who goes before taking notice of it.
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 10)
        throttle.release()
        await asyncio.wait_for(throttle.acquire(), 10)

    asyncio.run(run())
