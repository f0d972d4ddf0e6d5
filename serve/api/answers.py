"""Several answers to one request, written side by side, as one stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from serve.api.context import Given
from serve.client import ModelClient, Reply, Sampling

HALF = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for half a character; the other half comes with the next token."""


async def answers(client: ModelClient, model: str, given: Given, n: int) -> AsyncGenerator[tuple[int, Reply]]:
    """(number of the answer, the answer so far), as they come. Closing the generator ends all of them in the worker.

    Raises ServeError as soon as one of them fails.
    """
    streams = [
        client.answer(model, given.messages, given.images, _sampling(given.sampling, number)) for number in range(n)
    ]
    if n == 1:
        async with aclosing(streams[0]) as replies:
            async for reply in replies:
                yield 0, reply
        return
    async with aclosing(_side_by_side(streams)) as merged:
        async for numbered in merged:
            yield numbered


def _sampling(sampling: Sampling, number: int) -> Sampling:
    """With one seed all answers would be the same."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)


async def _side_by_side(streams: Sequence[AsyncGenerator[Reply]]) -> AsyncGenerator[tuple[int, Reply]]:
    mail: asyncio.Queue[tuple[int, Reply] | Exception | None] = asyncio.Queue(maxsize=2 * len(streams))

    async def pump(number: int, stream: AsyncGenerator[Reply]) -> None:
        try:
            async with aclosing(stream) as replies:
                async for reply in replies:
                    await mail.put((number, reply))
            await mail.put(None)
        except Exception as error:  # noqa: BLE001  (it is raised again for the one who reads)
            await mail.put(error)

    pumps = [asyncio.create_task(pump(number, stream)) for number, stream in enumerate(streams)]
    try:
        open_ones = len(streams)
        while open_ones:
            item = await mail.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                open_ones -= 1
            else:
                yield item
    finally:
        for task in pumps:
            task.cancel()
        # Not `gather`: cancelled a second time it would cancel them a second time, in the middle of their hanging up.
        await asyncio.wait(pumps)


EMPTY = Reply("")


@dataclass
class Growing:
    """One answer as its client has it: cumulative texts in, what is new out."""

    text: str = ""
    """What was handed out."""
    reply: Reply = EMPTY
    """The newest."""

    def push(self, reply: Reply, *, last: bool = False) -> str:
        """The text that is new. What was handed out is never taken back; half a character waits for its other half."""
        self.reply = reply
        certain = reply.text if last else reply.text.rstrip(HALF)
        new = certain[len(self.text) :]
        self.text += new
        return new

    @property
    def finish_reason(self) -> str:
        """OpenAI's word for why it ended."""
        return "length" if self.reply.finish_reason == "length" else "stop"
