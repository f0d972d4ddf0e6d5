"""A thousand clients that go away at every stage, through worker and controller: nothing of them may be left behind."""

import asyncio
import gc
import json
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serve.engines.batching.limits import Limits
from serve.engines.upstream.discovery import UpstreamOptions, discover
from serve.engines.upstream.engine import UpstreamEngine
from tests.serving import HTTP, ScriptedEngine, b64, eventually, png, running_controller, running_worker
from tests.upstream_server import OpenAiServer, chunk, running_openai

BODY = {"model": "scripted", "echo": False, "images": [b64(png())]}
BODY["messages"] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Q"}]}]
ONE_AT_ONCE = 40
STAGES = ("head", "body", "asked", "begun", "reading")


@dataclass
class WatchedEngine(ScriptedEngine):
    """Knows the event loop that it runs in."""

    loops: set = field(default_factory=set)

    async def stream(self, request):
        self.loops.add(asyncio.get_running_loop())
        async for step in super().stream(request):
            yield step


async def abort(address: str, path: str, stage: str, rng: random.Random, patience: float) -> None:
    """One client that goes away at `stage`, or after `patience` s without it, half of them without a goodbye (RST)."""
    host, port = address.removeprefix("http://").split(":")
    data = json.dumps(BODY).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        if stage == "head":
            writer.write(head[:20])
        else:
            writer.write(head + (data[: len(data) // 2] if stage == "body" else data))
        await writer.drain()
        if stage in ("begun", "reading"):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    for _ in range(1 if stage == "begun" else 3):
                        await reader.readuntil(b'"text"')
    finally:
        if rng.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


def abort_many(address, path, count, patience=0.5):
    rng = random.Random(0)

    async def all_of_them():
        gate = asyncio.Semaphore(ONE_AT_ONCE)

        async def one(number):
            async with gate:
                async with asyncio.timeout(patience + 20):
                    await abort(address, path, STAGES[number % len(STAGES)], rng, patience)

        await asyncio.gather(*(one(number) for number in range(count)))

    asyncio.run(all_of_them())


def sockets():
    """Open ones of this process, where that can be seen."""
    count = 0
    for entry in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            count += "socket" in str(entry.readlink())
    return count


def standing(loops):
    """(tasks, threads outside the executors' pools, sockets) that there are now."""
    gc.collect()
    tasks = [task for loop in loops for task in asyncio.all_tasks(loop)]
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(tasks), len(threads), sockets()


@pytest.mark.long
@pytest.mark.parametrize(
    ("through", "path", "count"),
    [
        ("worker", "/worker_generate_stream", 450),
        ("worker", "/worker_generate", 100),
        ("controller", "/worker_generate_stream", 450),
    ],
)
def test_a_thousand_aborted_requests_leave_nothing_behind(through, path, count):
    engine = WatchedEngine(words=("word",) * 300, pause=0.004)
    with (
        running_controller(probe_every=60) as controller,
        running_worker(engine, controller.url, limit_worker_concurrency=4, max_waiting=10_000) as worker,
    ):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        address = {"worker": worker.url, "controller": controller.url}[through]
        assert HTTP.post(address + path, json=BODY).status_code == 200
        before = standing(engine.loops)
        abort_many(address, path, count)
        eventually(lambda: not engine.running and not engine.queue_length, 30)
        # The worker's connection to its controller, and ours to both, may be open or not.
        eventually(lambda: all(now <= then + 4 for now, then in zip(standing(engine.loops), before, strict=True)))
        assert engine.most_running <= 4
        assert engine.cancelled >= 4, "some of them had begun"
        engine.words = ("done",)
        last = HTTP.post(address + path, json=BODY).content.split(b"\0")[0]
        assert HTTP.post(worker.url + "/worker_get_status").json()["queue_length"] == 0
        assert json.loads(last)["error_code"] == 0


def test_aborted_requests_leave_no_connection_to_the_server_behind_a_worker():
    there = OpenAiServer(script=[item for n in range(5000) for item in (chunk({"content": f" {n}"}), 0.002)])
    with running_openai(there) as url:
        engine = UpstreamEngine(
            options := UpstreamOptions(url=url), discover(options), limits=Limits(max_batch_size=4, max_waiting=10_000)
        )
        with running_worker(engine, model_names=("scripted",)) as worker:
            # Whoever waits for the first word gets it, and no answer ends before its reader goes away: however slow all this is.
            abort_many(worker.url, "/worker_generate_stream", 100, patience=30)
            eventually(lambda: not engine.queue_length and not there.open, 60)
            # Four, and those whose hanging up is not seen there yet.
            assert there.most_open <= 8
            assert there.left > 10
            there.script = None
            last = HTTP.post(worker.url + "/worker_generate", json=BODY).json()
            assert last["error_code"] == 0
