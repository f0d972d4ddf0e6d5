"""Many streams at once through controller and worker, as processes of their own. In: requests. Out: what happened to each."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving_items import LONGEST, Asked, percentile
from llava_graph.errors import ServeError
from serve.client import ModelClient, Sampling

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=LONGEST)
START_S = 120


@dataclass
class Seen:
    """What became of the requests of one load."""

    seconds: float = 0.0
    first: list[float] = field(default_factory=list)
    """Seconds to the first text of each answer."""
    whole: list[float] = field(default_factory=list)
    """Seconds to its end."""
    tokens: int = 0
    mismatches: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    unfinished: int = 0
    """Streams that ended without a last step."""
    memory_mb: list[int] = field(default_factory=list)
    """Of the worker: at the start, at half time, at the end."""

    def report(self) -> str:
        """Lines for a person."""
        slow = max(self.whole, default=0) / max(percentile(self.whole, 0.5), 1e-9)
        lines = [
            f"{len(self.whole)} answers in {self.seconds:.0f} s, {self.tokens / self.seconds:.0f} tokens/s",
            f"mixed up or changed: {self.mismatches}; unfinished: {self.unfinished}; errors: {self.errors or 0}",
            *(
                f"{name}: p50 {percentile(times, 0.5):.2f} s, p95 {percentile(times, 0.95):.2f} s"
                for name, times in (("first text", self.first), ("whole answer", self.whole))
            ),
            f"slowest / median: {slow:.1f}",
            f"the worker's memory at start, half and end: {', '.join(map(str, self.memory_mb))} MB",
        ]
        return "\n".join(lines)


@contextmanager
def process(*command: str, address: str = r"(http://\S+)") -> Iterator[tuple[str, int]]:
    """A command of ours that prints its address, and its process id; ended afterwards."""
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as running:
        try:
            line = running.stdout.readline() if running.stdout else ""
            found = re.search(address, line)
            if not found:
                raise SystemExit(f"{' '.join(command)} did not start: {line!r}")
            yield found[1], running.pid
        finally:
            running.terminate()
            running.wait(20)


def memory_mb(pid: int) -> int:
    """Resident, as Linux counts it; 0 elsewhere."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024


@asynccontextmanager
async def sampled(pid: int, seconds: float, into: list[int]) -> AsyncIterator[None]:
    """Memory at the start, after half the time and at the end."""
    into.append(memory_mb(pid))

    async def half() -> None:
        await asyncio.sleep(seconds / 2)
        into.append(memory_mb(pid))

    task = asyncio.create_task(half())
    yield
    await task
    into.append(memory_mb(pid))


async def load(controller: str, model: str, pid: int, asked: Sequence[Asked], *, streams: int, seconds: float) -> Seen:
    """`streams` clients ask one request after the other for `seconds`; every answer is compared with its reference."""
    seen, client, begun = Seen(), ModelClient(controller), time.monotonic()

    async def visitor(number: int) -> None:
        turn = number
        while time.monotonic() - begun < seconds:
            await _ask(client, model, asked[turn % len(asked)], seen)
            turn += streams + 1

    async with sampled(pid, seconds, seen.memory_mb):
        await asyncio.gather(*(visitor(number) for number in range(streams)))
        seen.seconds = time.monotonic() - begun
    return seen


async def _ask(client: ModelClient, model: str, asked: Asked, seen: Seen) -> None:
    begun, last, first = time.monotonic(), None, None
    try:
        async for reply in client.answer(model, asked.messages, [asked.image], GREEDY):
            first = first or (time.monotonic() if reply.text else None)
            last = reply
    except ServeError as error:
        seen.errors[error.what[:60]] = seen.errors.get(error.what[:60], 0) + 1
        await asyncio.sleep(0.1)
        return
    if last is None or last.finish_reason is None:
        seen.unfinished += 1
        return
    seen.mismatches += last.text != asked.reference
    seen.tokens += last.completion_tokens or 0
    seen.first.append((first or time.monotonic()) - begun)
    seen.whole.append(time.monotonic() - begun)


async def registered(controller: str, model: str) -> None:
    """When the worker is known."""
    deadline = time.monotonic() + START_S
    while model not in await ModelClient(controller).models():
        if time.monotonic() > deadline:
            raise SystemExit(f"{model} did not register")
        await asyncio.sleep(0.1)


def threads() -> str:
    """How many this process computes with."""
    return f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
