"""A worker's request -> the JSON body of /v1/chat/completions or /v1/completions. Pure.

Only what differs from "as the server likes" is sent: a hosted model refuses fields that it does not know, and that refusal is
reported (`serve.engines.upstream.refusals`), not guessed beforehand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llava_graph.errors import ServeError
from llava_graph.openai_wire import chat_messages
from serve.engines.upstream.dialect import messages_of
from serve.protocol.codes import ErrorCode
from serve.protocol.messages import GenerateRequest

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "stop_token_ids",
    "seed",
)
"""Fields whose refusal is the request's fault, not the worker's."""


@dataclass(frozen=True)
class Habits:
    """What one server has turned out to want."""

    kind: str = "openai"
    """vllm, sglang, llamacpp, ollama, or openai for every other one."""
    tokens_field: str = "max_tokens"
    """Hosted reasoning models insist on max_completion_tokens."""
    stream_options: bool = True
    """Older servers refuse the field; then there is no usage."""


def body_of(
    request: GenerateRequest, images: Sequence[str], model: str, habits: Habits, *, limit: bool = True
) -> tuple[str, dict[str, Any]]:
    """(path, body). `images`: data URIs in the order of the placeholders. Without `limit` the server takes all the room it has.

    A prompt that was not written from a conversation template goes to /completions as it is. Raises ServeError 40001 when
    that has images: there is no place for them.
    """
    common = {"model": model, **_sampling(request, habits), "stream": True}
    if habits.stream_options:
        common["stream_options"] = {"include_usage": True}
    messages = request.messages or messages_of(request.prompt)
    if messages is not None:
        length = {habits.tokens_field: request.max_new_tokens} if limit else {}
        return "/chat/completions", common | length | {"messages": chat_messages(messages, images)}
    if images:
        raise ServeError(
            "the prompt has images, but is written in no conversation template that this worker knows",
            code=ErrorCode.VALIDATION_TYPE_ERROR,
            next_step="Send messages, or write it from /worker_get_conv_template",
        )
    length = {"max_tokens": request.max_new_tokens} if limit else {}
    return "/completions", common | length | {"prompt": request.prompt}


def _sampling(request: GenerateRequest, habits: Habits) -> dict[str, Any]:
    """What differs from neutral. Raises ServeError 40302 for what a server is known to ignore: nothing is dropped in silence."""
    found: dict[str, Any] = {"temperature": request.temperature}
    if 0 < request.top_p < 1:
        found["top_p"] = request.top_p
    if request.top_k > 0:
        found["top_k"] = request.top_k
    if request.repetition_penalty != 1:
        found["repeat_penalty" if habits.kind == "llamacpp" else "repetition_penalty"] = request.repetition_penalty
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(request, name):
            found[name] = value
    if request.seed is not None:
        found["seed"] = request.seed
    if request.stop:
        found["stop"] = list(request.stop)
    if request.stop_token_ids:
        found["stop_token_ids"] = list(request.stop_token_ids)
    ignored = IGNORED.get(habits.kind, frozenset()) & set(found)
    if ignored:
        raise ServeError(
            f"{', '.join(sorted(ignored))} would be ignored by this worker's {habits.kind} server",
            code=ErrorCode.PARAM_OUT_OF_RANGE,
            next_step="Leave it out",
        )
    return found


IGNORED: Mapping[str, frozenset[str]] = {
    "ollama": frozenset({"top_k", "repetition_penalty", "stop_token_ids"}),
    "llamacpp": frozenset({"stop_token_ids"}),
}
"""Fields that a server's OpenAI endpoint reads over without a word."""
