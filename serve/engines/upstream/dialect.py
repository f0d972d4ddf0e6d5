"""FastChat's prompts for a model whose template only the upstream server knows: a template of our own, and the way back.

FastChat's clients send one rendered prompt; an OpenAI-compatible server wants messages. The worker therefore gives out a
conversation template whose marks no caption contains, and reads what comes back into the messages it was made of.
"""

from collections.abc import Sequence
from typing import Any

from serve.protocol.conversation import VICUNA_V1, Conversation
from serve.protocol.messages import plain_placeholders

MESSAGES_V1 = Conversation(
    "llava_graph_messages",
    roles=("<|asker|>", "<|answerer|>"),
    sep="<|over|>",
    sep2="<|over|>",
)
"""In FastChat's style ADD_COLON_TWO, the only one into which its OpenAI server (0.2.36) can put images. No stop string: the
upstream server ends an answer by its model's own."""
KNOWN = (MESSAGES_V1, VICUNA_V1)
"""What is read: our own, and what LLaVA's page writes for any model."""
ROLES = ("user", "assistant")
_IMAGE = "<image>"


def write_prompt(messages: Sequence[dict[str, Any]]) -> str:
    """Chat messages as the prompt that `messages_of` reads; the last is the user's."""
    system = "".join(_flat(message) for message in messages if message["role"] == "system")
    tags = dict(zip(ROLES, MESSAGES_V1.roles, strict=True))
    turns = (f"{tags[m['role']]}: {_flat(m)}{MESSAGES_V1.sep}" for m in messages if m["role"] != "system")
    return f"{system}{MESSAGES_V1.sep}{''.join(turns)}{MESSAGES_V1.roles[1]}:"


def messages_of(prompt: str) -> tuple[dict[str, Any], ...] | None:
    """The chat messages that a rendered prompt was made of; None for one that is written in no known way."""
    plain = plain_placeholders(prompt)
    for conversation in KNOWN:
        if (found := conversation.read(plain)) is not None:
            system, turns = found
            heading = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
            return (*heading, *({"role": ROLES[who], "content": _parts(text)} for who, text in turns))
    return None


def _flat(message: dict[str, Any]) -> str:
    return "".join(f"{_IMAGE}\n" if part["type"] == "image" else part["text"] for part in message["content"])


def _parts(text: str) -> list[dict[str, str]]:
    first, *others = text.split(_IMAGE)
    parts = [{"type": "text", "text": first}]
    for other in others:
        parts += [{"type": "image"}, {"type": "text", "text": other.removeprefix("\n")}]
    kept = [part for part in parts if part["type"] == "image" or part["text"]]
    return kept or [{"type": "text", "text": ""}]
