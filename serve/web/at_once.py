"""Several growing values followed at once. In: async generators. Out: the newest of each, whenever one has grown."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

Step = TypeVar("Step")


async def at_once(streams: Sequence[AsyncGenerator[Step]], start: Sequence[Step]) -> AsyncGenerator[list[Step]]:
    """The newest value of each stream, in their order, from `start` on; ends when all have ended.

    What comes faster than it is taken is passed over, never the last. Closing it closes all streams; an error of one ends all
    and is raised.
    """
    newest, grown = list(start), asyncio.Event()

    async def follow(place: int) -> None:
        try:
            async with aclosing(streams[place]) as steps:
                async for step in steps:
                    newest[place] = step
                    grown.set()
        finally:
            grown.set()

    tasks = [asyncio.create_task(follow(place)) for place in range(len(streams))]
    try:
        while not all(task.done() for task in tasks):
            await grown.wait()
            grown.clear()
            for task in tasks:
                if task.done():
                    task.result()
            yield list(newest)
        for task in tasks:
            task.result()
        yield list(newest)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
