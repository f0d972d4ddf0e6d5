"""What the tests of explanations share: a model that says what it is told, and figures and papers on the spot."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdf_pages import PdfPage, write_pdf

from llava_graph.explain import Answerer
from llava_graph.generate import Chunk, GenerationOptions
from llava_graph.prompt import Message, PromptOptions

STARTS = ("How quickly", "That", "What makes it that", "The way in which")


@dataclass
class Parrot(Answerer):
    """Answers `answer`, word by word; `fail` by the text of the prompt: what it raises."""

    answer: str = "The curve rises."
    name: str = "parrot"
    about: str = "It repeats one sentence."
    prompt: PromptOptions = PromptOptions()
    instructions: bool = True
    pause: float = 0.0
    fail: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """The last turn of every request."""
    first: list[str] = field(default_factory=list)
    """The first turn of every request: the context."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    generations: list[GenerationOptions] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate_stream(
        self,
        prompt: Sequence[Message],
        images: Sequence[Any],
        generation: GenerationOptions = GenerationOptions(),
        stopping: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        first, last = prompt[0]["content"][-1]["text"], prompt[-1]["content"][-1]["text"]
        with self.lock:
            self.first.append(first)
            self.asked.append(last)
            self.sizes += [image.size for image in images]
            self.generations.append(generation)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for words, error in self.fail.items():
                if words in first:
                    raise error
            count = 0
            for count, word in enumerate(self.answer.split(" "), 1):
                if stopping is not None and stopping.is_set():
                    yield Chunk(text="", prompt_tokens=7, completion_tokens=count, finish_reason="cancelled")
                    return
                time.sleep(self.pause)
                yield Chunk(text=(" " if count > 1 else "") + word, prompt_tokens=7, completion_tokens=count)
            yield Chunk(text="", prompt_tokens=7, completion_tokens=count, finish_reason="stop")
        finally:
            with self.lock:
                self.at_once -= 1


def a_paper(path: Path, figures: int = 2) -> Path:
    """A PDF of a page for each figure, with a paragraph that cites it."""
    pages = []
    for number in range(1, figures + 1):
        page = PdfPage()
        # Lines that are alike on all pages are running heads.
        start = f"{STARTS[number % len(STARTS)]} garden {number} grows is shown in Figure {number}."
        y = page.body(70, 80 + 10 * number, 450, 6, start=start)
        page.plot(150, y + 12, 420, y + 172)
        page.text(150, y + 190, f"Figure {number}. Growth of the colony over time in garden {number}.", 9)
        page.body(70, y + 215, 450, 8)
        pages.append(page)
    return write_pdf(path, PdfPage(), *pages)


class Heard:
    """A listener that remembers what it was told."""

    def __init__(self, interrupt_at: int = 0) -> None:
        self.lines: list[str] = []
        self.pieces: list[str] = []
        self.interrupt_at = interrupt_at

    def opening(self, source: Any, step: str) -> None:
        self.lines.append(f"opening {step}")

    def begins(self, source: Any, figure: Any) -> None:
        self.lines.append(f"begins {figure.id}")

    def text(self, piece: str) -> None:
        self.pieces.append(piece)
        if self.interrupt_at and len(self.pieces) == self.interrupt_at:
            raise KeyboardInterrupt

    def explained(self, source: Any, explained: Any, *, kept: bool) -> None:
        self.lines.append(f"{'kept' if kept else 'explained'} {explained.figure.id}")

    def lost(self, dropped: Any) -> None:
        self.lines.append(f"lost {dropped.reason}")

    def note(self, text: str) -> None:
        self.lines.append(f"note {text}")
