"""How a page (or a script) asks a model: which models there are, what they are, and an answer as it grows.

Speaks FastChat's protocol with any controller and worker. Our own workers take chat messages; for a real FastChat or LLaVA
worker the prompt is written from the worker's conversation template.
"""

import json
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import httpx

from llava_graph.errors import ServeError
from llava_graph.prompt import PromptOptions, prompt_options_of
from serve.protocol.codes import ErrorCode
from serve.protocol.conversation import VICUNA_V1, Conversation
from serve.protocol.messages import MAX_IMAGES, Unframer, data_uri

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 100.0
"""FastChat's WORKER_API_TIMEOUT: a worker that says nothing for so long has failed."""
LATELY_S = 600.0
"""A model that was served so recently is likely to come back."""


@dataclass(frozen=True)
class ModelDetails:
    """What a worker says about its model."""

    name: str
    about: str = ""
    context_length: int = 0
    takes_messages: bool = False
    """It is one of our workers."""
    prompt: PromptOptions = PromptOptions()
    """What its training showed beside the figure, and how; our defaults where it does not say."""
    instructions: bool = True
    """Whether it does what it is asked (level, length, sections); no only where it says so."""
    max_images: int = 1
    """Images that one conversation may show; one where it does not say, as LLaVA's own models learnt."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the answer is sampled; LLaVA's page uses the same defaults."""

    temperature: float = 0.2
    top_p: float = 0.7
    max_new_tokens: int = 512
    top_k: int = -1
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def to_json(self) -> dict[str, Any]:
        """What the wire carries: always the first three, the others where they say something."""
        neutral = Sampling()
        always = ("temperature", "top_p", "max_new_tokens")
        said = asdict(self).items()
        return {name: value for name, value in said if name in always or value != getattr(neutral, name)}


@dataclass(frozen=True)
class Reply:
    """The answer so far."""

    text: str
    finish_reason: str | None = None
    completion_tokens: int | None = None
    prompt_tokens: int | None = None


class ModelClient:
    """Reaches the workers of one controller. Every method raises ServeError with the reason in plain words."""

    def __init__(self, controller_url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.controller = controller_url.rstrip("/")
        self._transport = transport
        self._seen: dict[str, float] = {}
        """Names of models -> when they were last known to be served, by time.monotonic()."""

    async def models(self) -> list[str]:
        """The names of all models that are served now."""
        async with self._http() as http:
            names = sorted(str(name) for name in await self._ask_controller(http, "/list_models", "models"))
        now = time.monotonic()
        kept = {name: when for name, when in self._seen.items() if now - when < LATELY_S}
        self._seen = kept | dict.fromkeys(names, now)
        return names

    async def served_lately(self, model: str) -> bool:
        """Whether a worker of `model` was there in the last LATELY_S, as far as this client or a controller of ours remembers."""
        if time.monotonic() - self._seen.get(model, -LATELY_S) < LATELY_S:
            return True
        async with self._http() as http:
            try:
                return model in await self._ask_controller(http, "/list_recent_models", "models")
            except ServeError:  # FastChat's controller remembers nothing
                return False

    async def details(self, model: str) -> ModelDetails:
        """What `model` is."""
        async with self._http() as http:
            return (await self._reach(http, model)).details

    async def answer(
        self,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        images: Sequence[bytes],
        sampling: Sampling = Sampling(),
    ) -> AsyncGenerator[Reply]:
        """The answer to HF chat `messages` with PNG `images`, as it grows. Closing the generator ends it in the worker."""
        async with self._http() as http:
            worker = await self._reach(http, model)
            body = await worker.body(messages, images, sampling)
            async with aclosing(worker.stream(body)) as replies:
                async for reply in replies:
                    yield reply

    def _http(self) -> httpx.AsyncClient:
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        return httpx.AsyncClient(transport=self._transport, verify=_certificates(), trust_env=False, timeout=timeout)

    async def _ask_controller(self, http: httpx.AsyncClient, path: str, field: str = "", **body: str) -> Any:
        try:
            response = await http.post(self.controller + path, json=body)
            response.raise_for_status()
            return response.json()[field] if field else None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ServeError(
                f"the controller at {self.controller} does not answer",
                code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
                next_step="Start it: llava-graph-serve controller",
            ) from error

    async def _reach(self, http: httpx.AsyncClient, model: str) -> "_Worker":
        """A worker of `model` that answers. One that has died since its last heartbeat makes the controller look again."""
        try:
            return await self._worker(http, model)
        except httpx.HTTPError:
            await self._ask_controller(http, "/refresh_all_workers")
        try:
            return await self._worker(http, model)
        except httpx.HTTPError as error:
            raise _gone(model) from error

    async def _worker(self, http: httpx.AsyncClient, model: str) -> "_Worker":
        address = await self._ask_controller(http, "/get_worker_address", "address", model=model)
        if not address:
            raise ServeError(
                f"no worker serves {model} any more" if model else "no model is running",
                code=ErrorCode.CONTROLLER_NO_WORKER,
                next_step="Start one: llava-graph-serve worker",
            )
        data = await _json(http, address + "/model_details", {"model": model})
        self._seen[model] = time.monotonic()
        details = ModelDetails(
            model,
            str(data.get("about") or ""),
            int(data.get("context_length") or 0),
            "chat_template" in data,
            prompt_options_of(data.get("prompt")),
            data.get("instructions") is not False,
            _max_images(data.get("max_images")),
        )
        return _Worker(http, address, details)


def _max_images(told: Any) -> int:
    return told if isinstance(told, int) and told in range(1, MAX_IMAGES + 1) else 1


@dataclass(frozen=True)
class _Worker:
    """One worker, as far as one answer needs it."""

    http: httpx.AsyncClient
    address: str
    details: ModelDetails

    async def body(
        self, messages: Sequence[Mapping[str, Any]], images: Sequence[bytes], sampling: Sampling
    ) -> dict[str, Any]:
        """The request in the words that this worker understands."""
        uris = [data_uri(image) for image in images]
        body: dict[str, Any] = {"model": self.details.name, **sampling.to_json(), "echo": False}
        if self.details.takes_messages:
            return body | {"messages": list(messages), "images": uris}
        try:
            data = await _json(self.http, self.address + "/worker_get_conv_template", {"model": self.details.name})
        except httpx.HTTPError as error:
            raise _gone(self.details.name) from error
        conversation = Conversation.from_json(data["conv"]) if "conv" in data else VICUNA_V1
        placeholder = "$$<image>$$" if "conv" in data else "<image>\n"
        if system := [flat_text(message, "") for message in messages if message["role"] == "system"]:
            conversation = replace(conversation, system_message="\n".join(system))
        turns = [flat_text(message, placeholder) for message in messages if message["role"] != "system"]
        # LLaVA's worker reads one stop string, and its images without a data URI's head.
        plain = [uri.partition(",")[2] for uri in uris]
        stop: str | list[str] = next(iter(conversation.stops), "")
        if sampling.stop:
            if "conv" not in data:
                raise ServeError(
                    f"the worker of {self.details.name} takes no stop strings beside its own",
                    code=ErrorCode.PARAM_OUT_OF_RANGE,
                    next_step="Leave stop out",
                )
            stop = [*conversation.stops, *sampling.stop]
        return body | {"prompt": conversation.prompt(turns), "stop": stop, "images": plain}

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[Reply]:
        """The answer as it grows. Raises ServeError with the worker's reason, or because it has gone or says nothing."""
        name, unframer, begun = self.details.name, Unframer(), False
        try:
            async with self.http.stream("POST", self.address + "/worker_generate_stream", json=body) as response:
                async for data in response.aiter_bytes():
                    for piece in unframer.feed(data):
                        begun = True
                        yield _reply(piece, body.get("prompt", ""))
                if response.status_code != httpx.codes.OK:
                    _reply(unframer.rest, "")
        except httpx.TimeoutException as error:
            raise ServeError(
                f"the worker of {name} has said nothing for {SILENCE_TIMEOUT_S:.0f} s",
                code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
                next_step="Ask again, or look into its log",
            ) from error
        except httpx.HTTPError as error:
            raise _gone(name) from error
        if unframer.rest or not begun:
            raise _gone(name)


def _reply(piece: bytes, prompt: str) -> Reply:
    """One chunk. Raises ServeError with the worker's own reason if it is an error."""
    try:
        data = json.loads(piece)
        text, code = data["text"], int(data["error_code"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServeError("the worker's answer is no FastChat stream") from error
    if code:
        raise ServeError(str(text), code=code)
    usage = data.get("usage") or {}
    return Reply(
        str(text).removeprefix(prompt),
        data.get("finish_reason"),
        usage.get("completion_tokens"),
        usage.get("prompt_tokens"),
    )


def flat_text(message: Mapping[str, Any], placeholder: str) -> str:
    """A message as one text, each image as `placeholder`."""
    return "".join(placeholder if part["type"] == "image" else part["text"] for part in message["content"])


def _gone(model: str) -> ServeError:
    return ServeError(
        f"the worker of {model} has gone",
        code=ErrorCode.CONTROLLER_NO_WORKER,
        next_step="Start it again: llava-graph-serve worker; its log says why it ended",
    )


async def _json(http: httpx.AsyncClient, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A worker's JSON answer; empty when it does not know the question (LLaVA's worker knows only two)."""
    response = await http.post(url, json=dict(body), timeout=CONNECT_TIMEOUT_S)
    if response.status_code == httpx.codes.NOT_FOUND:
        return {}
    response.raise_for_status()
    try:
        data = response.json()
    except ValueError as error:
        raise ServeError(f"the worker's answer to {url} is not JSON") from error
    return data if isinstance(data, Mapping) else {}


@cache
def _certificates() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms; once is enough.
    return ssl.create_default_context()
