"""The body of POST /v1/chat/completions: JSON from anybody in, a frozen request out, or ApiError that names the field.

What we cannot honour is refused by name; its neutral value (as clients send it by default) is accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve.api.errors import ApiError
from serve.api.fields import (
    kind_of,
    known_only,
    list_of,
    mapping_of,
    named,
    not_supported,
    number_in,
    switch,
    text_of,
    whole_in,
    wrong,
)
from serve.api.figure_request import FigureRequest
from serve.client import Sampling
from serve.protocol.fields import stops
from serve.protocol.messages import MAX_IMAGES, MAX_NEW_TOKENS, MAX_PROMPT_CHARS

DEFAULT_MAX_TOKENS = 1024
"""Tokens of an answer when nobody says how many; the end of the context ends it too."""
MAX_MESSAGES = 200
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "ignore_eos": (False,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "skip_special_tokens": (True,),
    "stop_token_ids": ([],),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "use_beam_search": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""What we do not do -> the values that ask for nothing."""
NO_EFFECT = {"metadata", "prompt_cache_key", "safety_identifier", "user"}
"""Said for the caller's own books."""
USED = {
    "figure",
    "frequency_penalty",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_k",
    "top_p",
}


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from, as the client wrote it: a data URI or an http(s) URL."""

    url: str
    param: str
    """The part of the request that it stands in."""


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A checked request."""

    model: str
    messages: tuple[dict[str, Any], ...]
    """HF chat messages with {"type": "image"} in the places of `images`."""
    images: tuple[ImageSource, ...]
    sampling: Sampling
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    figure: FigureRequest | None = None
    max_tokens_given: bool = False

    @classmethod
    def from_json(cls, data: Any, *, max_choices: int = 8) -> "ChatRequest":
        """Raises ApiError."""
        data = mapping_of(data, "the request")
        known_only(data, USED | NO_EFFECT | set(NEUTRAL))
        for name, neutral in NEUTRAL.items():
            if name in data and not any(_same(data[name], one) for one in neutral):
                raise not_supported(name)
        if not (model := text_of(data.get("model", ""), "model", 500).strip()):
            raise wrong("model is missing", "model", name="missing_parameter", next_step="GET /v1/models lists them")
        figure = FigureRequest.from_json(data["figure"]) if "figure" in data else None
        messages, images = _messages(data.get("messages"), bare=figure is not None)
        return cls(
            model=model,
            messages=messages,
            images=images,
            sampling=_sampling(data),
            n=whole_in(data, "n", 1, 1, max_choices),
            stream=switch(data, "stream"),
            include_usage=_include_usage(data),
            figure=figure,
            max_tokens_given="max_tokens" in data or "max_completion_tokens" in data,
        )


def _same(value: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 0 and 0.0 are, 0 and false are not."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _sampling(data: Mapping[str, Any]) -> Sampling:
    limit = "max_completion_tokens" if "max_completion_tokens" in data else "max_tokens"
    usual = Sampling()
    return Sampling(
        temperature=number_in(data, "temperature", usual.temperature, 0, 2),
        top_p=number_in(data, "top_p", usual.top_p, 0, 1),
        max_new_tokens=whole_in(data, limit, DEFAULT_MAX_TOKENS, 1, MAX_NEW_TOKENS),
        top_k=whole_in(data, "top_k", usual.top_k, -1, 2**31),
        repetition_penalty=number_in(data, "repetition_penalty", 1.0, 0.01, 10),
        presence_penalty=number_in(data, "presence_penalty", 0.0, -2, 2),
        frequency_penalty=number_in(data, "frequency_penalty", 0.0, -2, 2),
        stop=named("stop", lambda: stops(data)),
        seed=whole_in(data, "seed", 0, -(2**63), 2**63 - 1) if "seed" in data else None,
    )


def _include_usage(data: Mapping[str, Any]) -> bool:
    if "stream_options" not in data:
        return False
    if not switch(data, "stream"):
        raise wrong("stream_options goes with stream: true only", "stream_options")
    options = mapping_of(data["stream_options"], "stream_options")
    known_only(options, {"include_usage", "include_obfuscation"}, "stream_options.")
    return switch(options, "include_usage")


def _messages(value: Any, *, bare: bool) -> tuple[tuple[dict[str, Any], ...], tuple[ImageSource, ...]]:
    """HF messages and their images. `bare`: the last message may be empty (the figure says what is asked)."""
    checked: list[dict[str, Any]] = []
    images: list[ImageSource] = []
    for index, item in enumerate(list_of(value, "messages", MAX_MESSAGES)):
        where = f"messages[{index}]"
        message = mapping_of(item, where)
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise wrong(f"{where}.role must be one of {', '.join(ROLES)}, got {str(role)[:40]!r}", f"{where}.role")
        for name in ("tool_calls", "function_call", "audio", "refusal"):
            if message.get(name):
                raise not_supported(f"{where}.{name}")
        parts = _parts(message.get("content"), f"{where}.content", images)
        checked.append({"role": ROLES[role], "content": parts})
    if not checked or checked[-1]["role"] != "user":
        raise wrong("the last message must be the user's", "messages")
    if len(images) > MAX_IMAGES:
        raise wrong(f"the request has {len(images)} images, at most {MAX_IMAGES}", "messages")
    _check_text(checked, bare=bare)
    return tuple(checked), tuple(images)


def _check_text(messages: list[dict[str, Any]], *, bare: bool) -> None:
    """Every message says something; all of them together no more than is read."""
    texts = [sum(len(part.get("text", "").strip()) for part in message["content"]) for message in messages]
    if sum(texts) > MAX_PROMPT_CHARS:
        raise ApiError(
            f"the messages have {sum(texts)} characters, at most {MAX_PROMPT_CHARS} are read",
            param="messages",
            name="context_length_exceeded",
            next_step="Shorten them",
        )
    for index, (message, length) in enumerate(zip(messages, texts, strict=True)):
        shows = any(part["type"] == "image" for part in message["content"])
        # An answer may have been empty, and comes back as it was.
        answered = message["role"] == "assistant" and message["content"]
        if not length and not shows and not answered and not (bare and message["role"] == "user"):
            raise wrong(f"messages[{index}].content is empty", f"messages[{index}].content")


def _parts(content: Any, where: str, images: list[ImageSource]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [_text(content, where)]
    if not isinstance(content, list):
        raise wrong(f"{where} must be text or a list of parts, got {kind_of(content)}", where, name="invalid_type")
    parts = []
    for index, item in enumerate(list_of(content, where, MAX_MESSAGES)):
        place = f"{where}[{index}]"
        part = mapping_of(item, place)
        if part.get("type") == "text":
            parts.append(_text(part.get("text"), f"{place}.text"))
        elif part.get("type") == "image_url":
            images.append(_image(part.get("image_url"), f"{place}.image_url"))
            parts.append({"type": "image"})
        else:
            raise not_supported(f"{place}.type", f"a part of type {str(part.get('type'))[:40]!r}")
    return parts


def _text(value: Any, where: str) -> dict[str, Any]:
    return {"type": "text", "text": text_of(value, where, MAX_PROMPT_CHARS, too_long="context_length_exceeded")}


def _image(value: Any, where: str) -> ImageSource:
    """{"url": …, "detail": …}, or the URL alone as some clients write it. `detail` asks for less than we do: all of it."""
    if isinstance(value, str):
        value = {"url": value}
    image = mapping_of(value, where)
    if image.get("detail", "auto") not in ("auto", "low", "high", "original"):
        raise wrong(f"{where}.detail must be auto, low or high", f"{where}.detail")
    url = image.get("url")
    if not isinstance(url, str) or not url.lower().startswith(("data:", "http://", "https://")):
        raise wrong(
            f"{where}.url must be a data URI (data:image/png;base64,…) or an http(s) URL",
            f"{where}.url",
            name="invalid_image_url",
        )
    return ImageSource(url, f"{where}.url")
