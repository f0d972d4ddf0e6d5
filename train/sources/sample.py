"""What every source of training data gives: one conversation with its images, by number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llava_graph.prompt import Message

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation to learn. The messages hold as many {"type": "image"} parts as there are `images`."""

    messages: list[Message]
    images: tuple[bytes | Path | Image, ...]
    """In the order of their places: encoded bytes, a file, or pixels that are already decoded."""
    name: str
    """For the report on what was dropped."""
    repairs: tuple[str, ...] = ()
    """What was mended to read it, by kind."""


class Samples(Protocol):
    """A numbered collection of samples. It crosses process borders, so it holds files and numbers, no open handles."""

    def __len__(self) -> int:
        """Samples seen, good and bad."""

    def get(self, index: int, epoch: int | None) -> Sample:
        """Sample `index` as epoch `epoch` shows it; None: with its whole context. Raises SampleRefused, RecordError."""

    def name(self, index: int) -> str:
        """What sample `index` is called, even when it is refused."""

    def image_files(self, index: int) -> tuple[Path, ...]:
        """The files in which the images of sample `index` lie; empty where `identity` speaks for them."""

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that change whenever a sample could: files with their sizes and times, options.

        Images in files of their own are not looked at: see `image_files`.
        """


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What an epoch leaves out of the context or spoils, by chance."""

    context_dropout: float = 0.0
    """Chance that a slot of the context is left out, 0..1."""
    ocr_corruption: float = 0.0
    """Share of the lines of the figure's text that are lost or misread, 0..1."""
    seed: int = 0


NO_NOISE = Noise()


def without_images(sample: Sample) -> Sample:
    """The same conversation with every image part taken out."""
    messages = [
        {**message, "content": [part for part in message["content"] if part["type"] != "image"]}
        for message in sample.messages
    ]
    return replace(sample, messages=messages, images=())


class TextSamples:
    """The conversations of other samples without their images."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """As without us."""
        return self._samples.name(index)

    def get(self, index: int, epoch: int | None) -> Sample:
        """The sample with every image part taken out."""
        return without_images(self._samples.get(index, epoch))

    def image_files(self, index: int) -> tuple[Path, ...]:  # noqa: ARG002  (a text has none)
        """None."""
        return ()

    @property
    def identity(self) -> dict[str, Any]:
        """The samples' own, without images."""
        return {**self._samples.identity, "text_only": True}


def printable(text: str) -> str:
    """Text as it can be written down: half a character (a lone surrogate, as JSON can hold it) as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def file_identity(file: Path) -> list[Any]:
    """[path, bytes, time of change in ns]"""
    state = file.stat()
    return [str(file.resolve()), state.st_size, state.st_mtime_ns]
