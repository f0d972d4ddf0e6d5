"""Small real parts for the serving tests: an engine that writes what it is told, slowly enough to be stopped."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from llava_graph.errors import LlavaGraphError
from llava_graph.images import encode_png
from llava_graph.prompt import PromptOptions
from serve.controller.admission import Admission
from serve.controller.app import create_controller
from serve.controller.membership import Probing
from serve.controller.registry import Registry
from serve.engines.engine import Step
from serve.engines.upstream.slots import Slots
from serve.http.servers import Server, bind
from serve.protocol.messages import GenerateRequest, Usage, open_images
from serve.worker.answering import WorkerOptions
from serve.worker.app import create_worker
from serve.worker.heartbeat import Heartbeat

HTTP = httpx.Client(timeout=10, trust_env=False)
"""One client for all tests: making one reads the certificates, which takes longer than most tests."""
WORDS = ["The", "curve", "rises", "and", "then", "it", "stays", "flat", "until", "the", "end", "."]


@dataclass
class ScriptedEngine:
    """Answers with `words`, `pause` seconds apart; `fail_with` is raised before word `fail_at`."""

    words: Sequence[str] = tuple(WORDS)
    pause: float = 0.0
    fail_with: Exception | None = None
    fail_at: int = 0
    name: str = "scripted"
    about: str = "It repeats one sentence; there is no model."
    chat_template: str = "{{ messages }}"
    context_length: int = 100
    prompt: PromptOptions = PromptOptions()
    instructions: bool = True
    max_images: int = 8
    requests: list[GenerateRequest] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    slots: Slots = field(default_factory=Slots)

    def render(self, messages: Sequence[dict[str, Any]]) -> str:
        turns = (f"{m['role'].upper()}: {m['content'][0]['text']}\n" for m in messages)
        return "".join(turns) + "ASSISTANT: "

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    @property
    def queue_length(self) -> int:
        return self.slots.queue_length

    @property
    def waiting(self) -> int:
        return self.slots.waiting

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Step]:
        await self.slots.acquire()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        ended = False
        try:
            images = await asyncio.to_thread(open_images, request)
            self.requests.append(request)
            self.sizes += [image.size for image in images]
            for count in range(len(self.words) + 1):
                if self.fail_with and count == self.fail_at:
                    ended = True
                    raise self.fail_with
                ended = count == len(self.words)
                yield Step(" ".join(self.words[:count]), Usage(7, count), "stop" if ended else None)
                await asyncio.sleep(self.pause)
        except LlavaGraphError:
            ended = True
            raise
        finally:
            self.running -= 1
            self.cancelled += not ended
            self.slots.release()

    def close(self) -> None:
        """Nothing computes when nobody asks."""


@contextmanager
def running_worker(
    engine: Any,
    controller: str = "",
    *,
    port: int = 0,
    limit_worker_concurrency: int = 5,
    max_waiting: int = 20,
    **options: Any,
) -> Iterator[Server]:
    """A worker on `port`; with `controller` it registers there and beats every 0.2 s. The limits are a ScriptedEngine's."""
    if isinstance(engine, ScriptedEngine):
        engine.slots = Slots(limit_worker_concurrency, max_waiting)
    sock = bind("127.0.0.1", port)
    host, port = sock.getsockname()
    beat = Heartbeat(controller, f"http://{host}:{port}", interval=0.2, retry=0.1) if controller else None
    with Server(create_worker(engine, WorkerOptions(**options), heartbeat=beat), sock, "worker") as server:
        yield server


@contextmanager
def running_controller(
    registry: Registry | None = None, *, port: int = 0, admission: Admission = Admission(), probe_every: float = 5.0
) -> Iterator[Server]:
    """A controller on a free port."""
    probing = Probing(every_s=probe_every, timeout_s=min(3.0, 2 * probe_every))
    app = create_controller(registry, admission=admission, probing=probing)
    with Server(app, bind("127.0.0.1", port), "controller") as server:
        yield server


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def png(width: int = 40, height: int = 30) -> bytes:
    return encode_png(Image.new("RGB", (width, height), "white"))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
