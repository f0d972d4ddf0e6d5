"""Turns and the line below them as the page shows them. Text in, safe Markdown out."""

import re
from collections.abc import Sequence

from llava_graph.record import Turn

_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)


def chat_messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """The turns as the chat component shows them; an answer that is still empty is left out."""
    return [{"role": turn.role, "content": shown(turn.text)} for turn in turns if turn.text]


def shown(text: str) -> str:
    """A turn as Markdown in which a tag is text and no image is loaded, whatever a caption or a model has written."""
    pieces = _CODE.split(text)
    safe = [piece.replace("<", "&lt;").replace("![", "\\!\\[") for piece in pieces[::2]]
    return "".join(part for pair in zip(safe, [*pieces[1::2], ""], strict=True) for part in pair)


def answer_status(completion_tokens: int | None, seconds: float, finish_reason: str | None) -> str:
    """One line under the chat: how long the answer took and why it ended."""
    tokens = f"{completion_tokens} tokens in " if completion_tokens is not None else ""
    cut = " · cut at the length limit (see Answer settings)" if finish_reason == "length" else ""
    return f"{tokens}{seconds:.1f} s{cut}"
