"""The engine waits until nobody is at work, and not longer."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.inference.activity import Activity


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_all_who_are_on_their_way_arrive_before_the_next_step(seed: int) -> None:
    """Trees of tasks that wait for each other and ask a server now and then. At each step everybody has asked or
    ended."""
    random_ = random.Random(seed)
    activity, asked = Activity(), []
    alive = 0

    async def work(depth: int) -> None:
        nonlocal alive
        alive += 1
        with activity.working():
            for _ in range(random_.randrange(4)):
                for _ in range(random_.randrange(6)):
                    await asyncio.sleep(0)
                if depth and random_.random() < 0.5:
                    tasks = [asyncio.create_task(work(depth - 1)) for _ in range(random_.randrange(1, 4))]
                    alive -= 1
                    await activity.waiting(asyncio.gather(*tasks))
                    alive += 1
                else:
                    future = asyncio.get_running_loop().create_future()
                    asked.append(future)
                    await activity.waiting(future)
        alive -= 1

    async def serve(root: "asyncio.Task[None]") -> None:
        while not root.done():
            await activity.until_quiet()
            assert alive == len(asked), "somebody is between two things"
            served = random_.sample(asked, random_.randint(min(1, len(asked)), len(asked)))
            for future in served:
                asked.remove(future)
                future.set_result(None)
                activity.touch()

    async def run() -> None:
        root = asyncio.create_task(work(3))
        await asyncio.sleep(0)
        await serve(root)
        await root

    asyncio.run(run())


def test_who_was_not_at_work_does_not_become_so_by_waiting() -> None:
    async def run() -> None:
        activity = Activity()
        await activity.waiting(asyncio.sleep(0))
        await asyncio.wait_for(activity.until_quiet(), 1)
        with activity.working(), activity.working():
            with pytest.raises(asyncio.TimeoutError):
                await activity.waiting(asyncio.wait_for(blocked(activity), 0.01))
            await activity.waiting(activity.until_quiet())
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(activity.until_quiet(), 0.01)
        await asyncio.wait_for(activity.until_quiet(), 1)

    async def blocked(activity: Activity) -> None:
        with activity.working():
            await asyncio.sleep(10)

    asyncio.run(run())
