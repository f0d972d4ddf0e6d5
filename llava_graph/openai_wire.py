"""OpenAI's chat completions on the wire, as a client speaks it: chat messages in, a request body out; server-sent events in,
pieces of the answer out. Values only; who sends them is `llava_graph.openai_client` and the servers' upstream engine.

Written after the API reference (platform.openai.com/docs/api-reference/chat) and what vLLM, SGLang, llama.cpp and Ollama do.
"""

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from llava_graph.errors import InputError, KeyRefused, ServeError
from llava_graph.generate import GenerationOptions
from llava_graph.prompt import Message

DONE = "[DONE]"
MAX_EVENT_BYTES = 8 * 2**20
"""An event holds a few letters; a line without an end would fill the memory."""
MAX_PAUSE_S = 120.0
"""Longer than that nobody waits on a word of the server; the next try comes then."""
MAX_TOLD_CHARS = 400
"""Of an error's own words that are passed on."""
INVALID_MODEL, OUT_OF_RANGE, CONTEXT_OVERFLOW, OVERLOADED, INTERNAL = 40301, 40302, 40303, 42903, 50001
"""FastChat's error codes (constants.py `ErrorCode`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """What one event adds to the answer."""

    text: str = ""
    finish_reason: str | None = None
    """ "stop", "length", "content_filter", …; only in the last that has a choice."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def endpoint(base: str, path: str) -> str:
    """The address of `path` ("chat/completions", "models") for a base as people write it: with or without /v1.

    Raises InputError for what is no http address.
    """
    parts = urlsplit(base.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("no http address", where=base, next_step="Give it as http://HOST:PORT/v1")
    root = parts.path.rstrip("/").removesuffix("/chat/completions")
    return parts._replace(path=f"{root or '/v1'}/{path}", query="", fragment="").geturl()


def chat_body(
    model: str,
    messages: Sequence[Message],
    images: Sequence[bytes],
    generation: GenerationOptions,
    *,
    stream: bool = True,
) -> dict[str, Any]:
    """The body of POST /v1/chat/completions. `messages` hold {"type": "image"} parts, `images` are PNG or JPEG in their order.

    Options that are None are left to the server. Raises InputError where placeholders and images do not match.
    """
    body: dict[str, Any] = {"model": model, "messages": chat_messages(messages, [data_uri(image) for image in images])}
    options = {
        "max_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "seed": generation.seed,
        "stop": list(generation.stop) or None,
        # Not OpenAI's; vLLM, SGLang and our own API know it.
        "repetition_penalty": generation.repetition_penalty,
    }
    body |= {name: value for name, value in options.items() if value is not None}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})


def adapted(body: Mapping[str, Any], told: str) -> dict[str, Any] | None:
    """The body without what the server says it does not know; None if its words name nothing that can be left out."""
    if "max_tokens" in body and "max_completion_tokens" in told:
        rest = {name: value for name, value in body.items() if name != "max_tokens"}
        return rest | {"max_completion_tokens": body["max_tokens"]}
    for name in ("stream_options", "repetition_penalty", "seed", "temperature", "top_p"):
        # Nobody asks for stream_options; what somebody asked for, with a value that is refused, is not ours to leave out.
        if name in body and (name in told if name == "stream_options" else _is_unknown(name, told)):
            return {kept: value for kept, value in body.items() if kept != name}
    return None


_BEFORE_UNKNOWN = r"(?:unknown|unsupported|unrecogni[sz]ed|unexpected|extra) [\w ]{0,40}?\W{0,4}"
_AFTER_UNKNOWN = (
    r"\W{1,4}(?:(?:parameter|field|option|argument) )?(?:(?:is|are|was) )?"
    r"(?:not (?:supported|allowed|permitted|recogni[sz]ed|known|implemented)|unknown|unsupported|unexpected|"
    r"(?:extra|additional) (?:inputs?|fields?|properties))"
)
_VALUE = re.compile(r"\bvalue\b|out of range|between|greater|less than|at (?:most|least)", re.IGNORECASE)


def _is_unknown(name: str, told: str) -> bool:
    """Whether an error's words say that the field is not known; that its value is wrong is another matter."""
    said = rf"{_BEFORE_UNKNOWN}\b{name}\b|\b{name}\b{_AFTER_UNKNOWN}"
    return re.search(said, told, re.IGNORECASE) is not None and not _VALUE.search(told)


def data_uri(image: bytes) -> str:
    """An encoded picture as a data URI."""
    kind = "jpeg" if image.startswith(b"\xff\xd8\xff") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def chat_messages(messages: Sequence[Message], addresses: Sequence[str]) -> list[dict[str, Any]]:
    """OpenAI's messages; each image part takes the next of `addresses` (data URIs). Raises InputError if they do not match.

    Text alone stays a string: every server and every template takes that.
    """
    waiting = iter(addresses)
    written = [{"role": message["role"], "content": _content(message["content"], waiting)} for message in messages]
    if next(waiting, None) is not None:
        raise InputError("there are more images than places for them in the messages")
    return written


def _content(content: str | Sequence[Mapping[str, Any]], addresses: Iterator[str]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    if all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return [_part(part, addresses) for part in content]


def _part(part: Mapping[str, Any], addresses: Iterator[str]) -> dict[str, Any]:
    if part["type"] != "image":
        return {"type": "text", "text": part["text"]}
    address = next(addresses, None)
    if address is None:
        raise InputError("the messages have more places for images than there are images")
    return {"type": "image_url", "image_url": {"url": address}}


class Events:
    """The bytes of a text/event-stream -> the data of its events (WHATWG HTML, section 9.2.6), however they are cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[str]:
        """The events that have become whole. Raises ServeError when one grows beyond MAX_EVENT_BYTES."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES:
            raise ServeError("the server's stream has an event without an end", code=INTERNAL)
        return [event for line in lines if (event := self._line(line)) is not None]

    def end(self) -> list[str]:
        """What stands unfinished when the connection closes: some servers leave out the last empty line."""
        return [event for line in (self._rest, b"") if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> str | None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        name, _, value = text.partition(":")
        # `error` instead of `data` is how older llama.cpp servers break off.
        if name in ("data", "error"):
            self._data.append(value.removeprefix(" "))
        if text or not self._data:
            return None
        event, self._data, self._size = "\n".join(self._data), [], len(self._rest)
        return event


def read_event(event: str) -> Delta | None:
    """One event's part of the answer; None for the last one, [DONE]. Raises ServeError for an error sent as an event."""
    if event.strip() == DONE:
        return None
    try:
        data = json.loads(event)
    except ValueError as error:
        raise ServeError(f"the server's stream holds what is no JSON: {_short(event)}", code=INTERNAL) from error
    return read_answer(data, "delta")


def read_answer(data: Any, part: str = "message") -> Delta:
    """A chunk (`part` "delta") or a whole completion ("message"); a whole one that gives no reason has stopped by itself.

    Raises ServeError: an error, or neither of them.
    """
    if not isinstance(data, Mapping):
        raise ServeError(f"the server's answer is no completion: {_short(str(data))}", code=INTERNAL)
    if data.get("error") or data.get("object") == "error":
        raise ServeError(reason_of(data)[0], code=INTERNAL)
    choices = data.get("choices") or [{}]
    choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], Mapping) else {}
    said, usage = choice.get(part), data.get("usage")
    said = said if isinstance(said, Mapping) else {}
    usage = usage if isinstance(usage, Mapping) else {}
    whole = "stop" if part == "message" and isinstance(data.get("choices"), list) else None
    return Delta(
        text=_text(said.get("content")) or _text(said.get("refusal")),
        finish_reason=str(reason) if (reason := choice.get("finish_reason")) else whole,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _text(content: Any) -> str:
    """Of a string, or of a list of parts (Mistral's, with thoughts apart)."""
    if isinstance(content, list):
        return "".join(
            _text(part.get("text")) for part in content if isinstance(part, Mapping) and part.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def refusal(status: int, body: bytes, where: str) -> ServeError:
    """The error of an answer with an HTTP status of 300 or more, in plain words, with the server's own reason."""
    told = reason_in(body)[0]
    told = f"{status}: {told}" if told else f"{status}"
    if status in (401, 403):
        return KeyRefused(f"the server refuses the API key ({told})", code=INTERNAL, where=where)
    if status == 402 or (status == 429 and b"insufficient_quota" in body):
        return KeyRefused(f"the account has nothing left to spend ({told})", code=INTERNAL, where=where)
    if status == 404:
        return ServeError(
            f"the server does not know the model or the address ({told})", code=INVALID_MODEL, where=where
        )
    if status in (429, 503):
        return ServeError(f"the server is busy ({told})", code=OVERLOADED, where=where, next_step="Try again later")
    if 400 <= status < 500 and OVERFLOW.search(told):
        return ServeError(f"the prompt does not fit the model's context ({told})", code=CONTEXT_OVERFLOW, where=where)
    code = OUT_OF_RANGE if 400 <= status < 500 else INTERNAL
    return ServeError(f"the server refuses the request ({told})", code=code, where=where)


def asked_pause(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a busy server asks us to wait, MAX_PAUSE_S at most; None where it does not say.

    `retry-after-ms` is OpenAI's and Azure's; Retry-After holds seconds or a date (RFC 9110, section 10.2.3). `now` is Unix time.
    """
    milliseconds, told = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            seconds = float(milliseconds) / 1000
        elif told is not None:
            seconds = float(told) if re.fullmatch(r"[\d.]+", told) else parsedate_to_datetime(told).timestamp() - now
        else:
            return None
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), MAX_PAUSE_S) if math.isfinite(seconds) else None


def reason_in(body: bytes) -> tuple[str, str]:
    """(message, name of the field it is about) of an error's body; both may be empty."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        text = re.sub(rb"(?s)<(style|script|head)\b.*?</\1>|<[^>]*>", b" ", body[:100_000]).decode("utf-8", "replace")
        return _short(text), ""
    return reason_of(data) if isinstance(data, Mapping) else (_short(str(data)), "")


def reason_of(data: Mapping[str, Any]) -> tuple[str, str]:
    """The same of parsed JSON: OpenAI's, vLLM's and llama.cpp's {"error": {message, param}}, SGLang's {"object": "error",
    message}, Ollama's {"error": "…"}, FastAPI's {"detail": …}.
    """
    inner = data.get("error") or data.get("detail") or data
    if isinstance(inner, list):
        return _short("; ".join(_detail(item) for item in inner)), ""
    if not isinstance(inner, Mapping):
        return _short(str(inner)), ""
    message = inner.get("message") or inner.get("msg") or inner.get("type") or (json.dumps(inner) if inner else "")
    return _short(str(message)), str(inner.get("param") or "")


def _detail(item: Any) -> str:
    """One of FastAPI's complaints: {"loc": ["body", "top_k"], "msg": "…"}."""
    if not isinstance(item, Mapping):
        return str(item)
    place = item.get("loc")
    steps = place if isinstance(place, list) else []
    return f"{'.'.join(str(step) for step in steps)}: {item.get('msg', '')}"


OVERFLOW = re.compile(
    r"context[ _-](?:length|size|window)|longer than the model|exceed_context_size|too many tokens|"
    r"context_length_exceeded|maximum (?:input|model) length|prompt (?:is )?too long",
    re.IGNORECASE,
)
"""How servers say that the prompt does not fit."""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TOLD_CHARS else text[: MAX_TOLD_CHARS - 1] + "…"


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
