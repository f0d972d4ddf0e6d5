"""A LLaVA conversation record -> messages: what trainers and importers of LLaVA JSON share.

A record is repaired where its meaning is plain, and each repair is named; it is refused with a reason where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.prompt import Message, text_message

SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "report": "assistant", "bot": "assistant", "model": "assistant", "chatgpt": "assistant", "system": "system",
}  # fmt: skip
"""LLaVA's speaker -> role. "report" is what a radiology converter of the LLaVA family writes for the answer."""
USUAL_SPEAKERS = ("human", "user", "gpt", "assistant", "system")
PLACEHOLDER = "<image>"
CONVERSATION_KEYS = ("conversations", "messages", "conversation", "conversatons")
"""The last is a typing error in a published data set (LLaVA-Med's alignment file); "messages" is OpenAI's name."""
IMAGE_KEYS = ("image", "images", "image_file")
"""LLaVA-Med writes `image_file` in some files; a trainer that knows only `image` learns those as text, in silence."""
UNREAD = ("image", "img", "picture", "photo", "figure")
"""A key with such a word, in a record without an image, may be one that we should know: it is counted."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A record as read: what is said, the paths of its images in the order of their places, and what was mended."""

    messages: list[Message]
    images: tuple[str, ...]
    repairs: tuple[str, ...]


def read_conversation(record: Any) -> Conversation:
    """One record. Raises SampleRefused (reasons: bad-record, unknown-role, bad-turns, no-target, no-image, video)."""
    if not isinstance(record, Mapping):
        raise SampleRefused("a record must be a mapping", reason="bad-record")
    key = next((key for key in CONVERSATION_KEYS if key in record), None)
    turns = record.get(key) if key else None
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise SampleRefused("the record has no list of conversations", reason="bad-record")
    repairs = [f"{key} read as conversations"] if key == "conversatons" else []
    shown: list[str] = []
    spoken = _alternating([_turn(turn, shown, repairs) for turn in turns], repairs)
    images = _images_of(record, repairs) or shown
    if not images:
        _doubt(record, repairs)
    _check_characters([*(text for _, text in spoken), *images])
    messages = _with_images(spoken, len(images), repairs)
    return Conversation(messages, tuple(images), tuple(repairs))


def _check_characters(texts: Sequence[str]) -> None:
    """JSON can hold half of a surrogate pair, which no tokenizer and no file system takes. Raises SampleRefused."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SampleRefused(
                f"half a character (\\u{ord(text[error.start]):04x}) in a text or a path", reason="bad-record"
            ) from error


def _images_of(record: Mapping[str, Any], repairs: list[str]) -> list[str]:
    """The paths that the record names."""
    key = next((key for key in IMAGE_KEYS if record.get(key)), None)
    if key is None:
        return []
    found = record[key]
    images = list(found) if isinstance(found, list) else [found]
    if not all(isinstance(image, str) and image for image in images):
        raise SampleRefused(f"{key} must be a path or a list of paths", reason="bad-record")
    if key == "image_file":
        repairs.append("image_file read as image")
    return images


def _doubt(record: Mapping[str, Any], repairs: list[str]) -> None:
    """A record that is learnt as text although it may be about something to see. Raises SampleRefused (reason: video)."""
    if record.get("video") or record.get("videos"):
        raise SampleRefused("a video, which is not read", reason="video")
    for key, value in record.items():
        if isinstance(value, str | list) and value and any(word in str(key).lower() for word in UNREAD):
            repairs.append(f"key {str(key)[:20]!r} not read, learnt as text")


def _turn(turn: Mapping[str, Any], shown: list[str], repairs: list[str]) -> tuple[str, str]:
    """(role, text); images that the turn's own parts name are added to `shown`."""
    speaker = turn.get("from", turn.get("role"))
    text = _text_of(turn.get("value", turn.get("content")), shown)
    usual = speaker.strip().lower() if isinstance(speaker, str) else None
    if usual not in SPEAKERS:
        raise SampleRefused(f"unknown speaker {speaker!r}", reason="unknown-role")
    role = SPEAKERS[usual]
    if usual == "report":
        repairs.append("report read as answer")
    elif usual not in USUAL_SPEAKERS or usual != speaker:
        repairs.append(f"speaker {str(speaker)[:20]!r} read as {role}")
    return role, text


def _text_of(content: Any, shown: list[str]) -> str:
    """A text, or a list of parts as OpenAI and Qwen write them, as a text with <image> marks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise SampleRefused("a turn has no text", reason="bad-record")
    pieces = []
    for part in content:
        if part.get("type") == "image":
            pieces.append(PLACEHOLDER)
            if isinstance(path := part.get("image", part.get("path")), str):
                shown.append(path)
        elif part.get("type") == "text" and isinstance(part.get("text"), str):
            pieces.append(part["text"])
        else:
            raise SampleRefused(f"a part of type {part.get('type')!r} in a turn", reason="bad-record")
    return "\n".join(pieces)


def _alternating(spoken: list[tuple[str, str]], repairs: list[str]) -> list[tuple[str, str]]:
    """User first and assistant last. What stands before the first question or after the last answer is left out."""
    start = next((index for index, (role, _) in enumerate(spoken) if role == "user"), len(spoken))
    end = max((index + 1 for index, (role, _) in enumerate(spoken) if role == "assistant"), default=0)
    if start >= end:
        raise SampleRefused("no question with an answer", reason="no-target")
    if start:
        repairs.append(f"leading {spoken[0][0]} turn left out")
    if end < len(spoken):
        repairs.append("open question left out")
    kept = spoken[start:end]
    if [role for role, _ in kept] != [("user", "assistant")[index % 2] for index in range(len(kept))]:
        raise SampleRefused("the turns do not alternate", reason="bad-turns")
    if not all(text.replace(PLACEHOLDER, "").strip() for role, text in kept if role == "assistant"):
        raise SampleRefused("an answer is empty", reason="no-target")
    return kept


def _with_images(spoken: Sequence[tuple[str, str]], images: int, repairs: list[str]) -> list[Message]:
    """Messages with `images` image parts. Raises SampleRefused (no-image).

    Of one image, the mark stands first in its turn, or last after the question, which is LLaVA's other regular form; it is
    shown first either way, as LLaVA 1.5 does. Several images stay where their marks are in the questions.
    """
    asked = [text.count(PLACEHOLDER) if role == "user" else 0 for role, text in spoken]
    told = sum(text.count(PLACEHOLDER) for _, text in spoken) - sum(asked)
    if not images and sum(asked) + told:
        raise SampleRefused("the text has an <image> but the record has no image", reason="no-image")
    if told:
        repairs.append("image-moved" if sum(asked) < images else "mark in an answer left out")
    if sum(asked) > images:
        repairs.append("mark without image left out")
    missing = max(0, images - sum(asked))
    if missing > told:
        repairs.append("image-added")
    messages, left = [], images
    for index, (role, text) in enumerate(spoken):
        marks = min(asked[index], left)
        if role == "assistant" or not marks:
            message = text_message(role, text.replace(PLACEHOLDER, "").strip())
        elif images == 1:
            bare = text.strip()
            if not (bare.startswith(PLACEHOLDER) or bare.endswith(PLACEHOLDER)):
                repairs.append("image-moved")
            message = text_message(role, text.replace(PLACEHOLDER, "").strip())
            message["content"].insert(0, {"type": "image"})
        else:
            message = {"role": role, "content": _parts(text, marks)}
        left -= marks
        messages.append(message)
    messages[0]["content"][:0] = [{"type": "image"}] * missing
    return messages


def _parts(text: str, images: int) -> list[dict[str, str]]:
    """Image and text parts where the first `images` marks stand; further marks go."""
    *before, last = text.strip().split(PLACEHOLDER, images)
    parts: list[dict[str, str]] = []
    for piece in before:
        parts += [{"type": "text", "text": piece.lstrip("\n")}, {"type": "image"}]
    parts.append({"type": "text", "text": last.replace(PLACEHOLDER, "").lstrip("\n")})
    return [part for part in parts if part["type"] == "image" or part["text"]]
