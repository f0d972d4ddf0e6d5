"""A sample's images, opened. What is missing or broken goes by the policy of `--bad_image`, and is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.errors import ImageError, SampleRefused
from llava_graph.images import is_there, open_image, upright_size
from train.sources.sample import Sample

if TYPE_CHECKING:
    from PIL.Image import Image

    from llava_graph.prompt import Message

BLANK_SIDE_PX = 336
"""Of an image of which nothing is known."""
LONGEST_TOLD = 400
"""Characters of a path in an error."""
MISSING, BROKEN = "image-missing", "image-broken"
REPAIRS = {
    policy: {reason: f"{reason}, {what}" for reason in (MISSING, BROKEN)}
    for policy, what in (("blank", "shown blank"), ("text", "its text kept"))
}
"""policy -> reason -> what the repair is called"""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How images are opened."""

    policy: str = "drop"
    """What happens to a sample with a bad one: "drop" it, show it "blank" (white), or keep its "text" alone."""

    def settle(self, sample: Sample, *, decode: bool = True) -> Sample:
        """The sample with decoded images; without `decode` its good ones stay as they are, known by their headers alone.

        Raises SampleRefused (reasons: image-missing, image-broken) where it is dropped.
        """
        opened: list[bytes | Path | Image | None] = []
        repairs: list[str] = []
        for number, image in enumerate(sample.images, 1):
            where = _told(image, number if len(sample.images) > 1 else None)
            try:
                if decode:
                    opened.append(open_image(image, where=where))
                else:
                    upright_size(image, where=where)
                    opened.append(image)
            except ImageError as error:
                reason = MISSING if isinstance(image, Path) and not is_there(image) else BROKEN
                if self.policy == "drop":
                    raise SampleRefused(
                        error.what, reason=reason, where=error.where, next_step=error.next_step
                    ) from error
                opened.append(_blank(image) if self.policy == "blank" else None)
                repairs.append(REPAIRS[self.policy][reason])
        kept = tuple(image for image in opened if image is not None)
        messages = sample.messages
        if len(kept) < len(opened):
            messages = _without(messages, [number for number, image in enumerate(opened) if image is None])
        return replace(sample, messages=messages, images=kept, repairs=(*sample.repairs, *repairs))


def is_image_trouble(name: str) -> bool:
    """Whether a reason or a repair is about an image that could not be opened: what may be mended behind our back."""
    return name.startswith((MISSING, BROKEN))


def _told(image: bytes | Path | Image, number: int | None) -> str:
    """Where an error is: the file, else which image of several. The sample's name is told by whoever counts it."""
    if isinstance(image, Path):
        path = str(image).replace("\0", "\\0")
        return path if len(path) <= LONGEST_TOLD else f"{path[:LONGEST_TOLD]}…"
    return "" if number is None else f"image {number}"


def _blank(image: bytes | Path | Image) -> Image:
    """White, of the size that the broken image says it has, so that it takes as many tokens as was thought."""
    from PIL import Image

    try:
        size = upright_size(image)
    except ImageError:
        size = (BLANK_SIDE_PX, BLANK_SIDE_PX)
    return Image.new("RGB", size, "white")


def _without(messages: Sequence[Message], gone: Sequence[int]) -> list[Message]:
    """The messages without the image parts of these numbers."""
    number, kept = 0, []
    for message in messages:
        parts = []
        for part in message["content"]:
            if part["type"] == "image":
                number += 1
                if number - 1 in gone:
                    continue
            parts.append(part)
        kept.append({**message, "content": parts})
    return kept
