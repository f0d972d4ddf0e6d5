"""Answers on a screen or in a pipe: streamed, with evidence where it is wanted, and nothing in them commands the terminal."""

import re
import sys
from typing import TextIO

from llava_graph.evidence import Sentence
from llava_graph.evidence.judging import judged
from llava_graph.evidence.shown import chips_of, note_of
from llava_graph.evidence.sources import sources_of
from llava_graph.printable import printable
from llava_graph.record import Figure

BOLD, DIM, YELLOW, RESET = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"


class Screen:
    """Where answers are written. Colours only on a terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.colours = self.out.isatty()

    def write(self, text: str) -> None:
        """Write at once."""
        self.out.write(text)
        self.out.flush()

    def styled(self, text: str, style: str) -> str:
        """The text in a style, on a terminal."""
        return f"{style}{text}{RESET}" if self.colours and text else text


class AnswerText:
    """An answer as it streams: titles of sections without their marks, nothing that commands the terminal.

    With a `figure` each sentence is written when it is whole, with what of the figure's texts bears it out behind it.
    """

    def __init__(self, screen: Screen, figure: Figure | None = None) -> None:
        self._screen = screen
        sources = sources_of(figure) if figure else None
        self._sources = sources if sources and (sources.prose or sources.inside) else None
        self._answer = ""
        self._done = 0
        self._held = ""
        self._written = False

    @property
    def empty(self) -> bool:
        """Whether nothing but blanks has come."""
        return not self._answer.strip()

    def push(self, piece: str) -> None:
        """Write what is certain."""
        piece = printable(piece)
        self._answer += piece
        if self._sources is None:
            self._lines(piece)
        else:
            self._sentences(complete=False)

    def end(self) -> None:
        """Write what was held, and the end of the line."""
        if self._sources is not None:
            self._sentences(complete=True)
            self._lines(self._answer[self._done :])
            self._done = len(self._answer)
        self._write(self._line(self._held).rstrip() + "\n")
        self._held = ""

    def _sentences(self, *, complete: bool) -> None:
        """Write the sentences that have become whole since."""
        for sentence in judged(self._answer, self._sources, complete=complete) if self._sources else ():
            if sentence.start < self._done:
                continue
            self._lines(self._answer[self._done : sentence.start])
            self._lines(self._marked(sentence) + self._chips(sentence))
            self._done = sentence.end

    def _marked(self, sentence: Sentence) -> str:
        """The sentence with a (?) behind what stands nowhere."""
        text, place = "", sentence.start
        for mark in sentence.marks:
            text += self._answer[place : mark.start]
            text += self._screen.styled(self._answer[mark.start : mark.end] + " (?)", YELLOW)
            place = mark.end
        return text + self._answer[place : sentence.end]

    def _chips(self, sentence: Sentence) -> str:
        if note_of(sentence):
            return self._screen.styled(" [not found]", YELLOW)
        labels = ", ".join(chip.label for chip in chips_of(sentence))
        return self._screen.styled(f" [{labels}]", DIM) if labels else ""

    def _lines(self, text: str) -> None:
        """Write text; a line that begins with # is held until it is whole."""
        *lines, rest = (self._held + text).split("\n")
        self._held = ""
        for line in lines:
            self._write(self._line(line) + "\n")
        if rest.lstrip().startswith("#") or not rest.strip():
            self._held = rest
        else:
            self._write(rest)

    def _line(self, line: str) -> str:
        title = re.fullmatch(r"\s*#{1,6}\s+(.*?)\s*#*\s*", line)
        return self._screen.styled(title[1], BOLD) if title else line

    def _write(self, text: str) -> None:
        if not self._written:
            text = text.lstrip()
        if text:
            self._written = True
            self._screen.write(text)
