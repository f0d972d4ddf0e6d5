"""How explanations appear on a terminal, in a pipe and as JSON lines: answers on stdout, everything else on stderr."""

import json
import re
import sys
from typing import Any, TextIO

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from llava_graph.command import stderr
from llava_graph.explained import ExplainedFigure, to_plain
from llava_graph.record import Dropped, Figure
from llava_graph.sources import Source

BOLD, DIM, YELLOW, RESET = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, colour the terminal or turn the direction of writing: no paper and no model may do that."""


def printable(text: str) -> str:
    """A text of a paper or a model without signs that command a terminal."""
    return _CONTROL.sub("", text)


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
    """An answer as it streams: titles of sections without their marks, nothing that commands the terminal."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._held = ""
        self.written = False
        """Whether anything but blanks has been written."""

    def push(self, piece: str) -> None:
        """Write what is certain: a line that begins with # is held until it is whole."""
        *lines, rest = (self._held + printable(piece)).split("\n")
        self._held = ""
        for line in lines:
            self._write(self._line(line) + "\n")
        if rest.lstrip().startswith("#") or not rest.strip():
            self._held = rest
        else:
            self._write(rest)

    def end(self) -> None:
        """Write what was held, and the end of the line."""
        self._write(self._line(self._held).rstrip() + "\n")
        self._held = ""

    def _line(self, line: str) -> str:
        title = re.fullmatch(r"\s*#{1,6}\s+(.*?)\s*#*\s*", line)
        return self._screen.styled(title[1], BOLD) if title else line

    def _write(self, text: str) -> None:
        if not self.written:
            text = text.lstrip()
        if text:
            self.written = True
            self._screen.write(text)


class Printed:
    """Answers on stdout, each as it comes, under the name of its figure where there are several."""

    def __init__(self, screen: Screen, *, titles: bool) -> None:
        self._screen, self._titles = screen, titles
        self._answer: AnswerText | None = None
        self._count = 0

    def opening(self, source: Source, step: str) -> None:
        """See `explaining.Listener`."""
        if stderr.is_terminal:
            stderr.print(f"[dim]{escape(source.name)}: {escape(step)}[/]", end="\r\x1b[K")

    def begins(self, source: Source, figure: Figure) -> None:
        """See Listener."""
        if stderr.is_terminal:
            stderr.file.write("\x1b[K")
        if self._titles:
            self._screen.write(("\n" if self._count else "") + self._title(source, figure) + "\n")
        self._count += 1
        self._answer = AnswerText(self._screen)

    def text(self, piece: str) -> None:
        """See Listener."""
        if self._answer:
            self._answer.push(piece)

    def explained(self, source: Source, explained: ExplainedFigure, *, kept: bool) -> None:
        """See Listener."""
        if kept or self._answer is None:
            self.begins(source, explained.figure)
        if self._answer and not self._answer.written:
            self._answer.push(explained.text)
        if self._answer:
            self._answer.end()
        self._answer = None

    def lost(self, dropped: Dropped) -> None:
        """See Listener."""
        self._broken_off()
        tell_lost(dropped)

    def note(self, text: str) -> None:
        """See Listener."""
        stderr.print(f"[yellow]note:[/] {escape(text)}")

    def _broken_off(self) -> None:
        """An answer that failed in its middle leaves its line."""
        if self._answer and self._answer.written:
            self._answer.end()
        self._answer = None

    def _title(self, source: Source, figure: Figure) -> str:
        where = [figure.label or figure.id, f"page {figure.paper.page}" if figure.paper.page else ""]
        where.append(figure.paper.title or source.name)
        name, *rest = (printable(" ".join(part.split())) for part in where if part)
        return self._screen.styled(name, BOLD) + "".join(f" · {part}" for part in rest)


class JsonLines:
    """One line of JSON a figure on stdout, without its pixels."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def opening(self, source: Source, step: str) -> None:
        """See Listener."""

    def begins(self, source: Source, figure: Figure) -> None:
        """See Listener."""

    def text(self, piece: str) -> None:
        """See Listener."""

    def explained(self, source: Source, explained: ExplainedFigure, *, kept: bool) -> None:  # noqa: ARG002
        """See Listener."""
        self._screen.write(json.dumps(to_plain(explained, pictures=False), ensure_ascii=False) + "\n")

    def lost(self, dropped: Dropped) -> None:
        """See Listener."""
        tell_lost(dropped)

    def note(self, text: str) -> None:
        """See Listener."""
        stderr.print(f"[yellow]note:[/] {escape(text)}")


class ProgressBar:
    """Sources and figures on stderr, for reports. A context manager."""

    def __init__(self, sources: int) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("sources"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("figures {task.fields[figures]}  left out {task.fields[lost]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        self._bar = Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)
        self._task = self._bar.add_task("explain", total=sources, figures=0, lost=0, now="")
        self._figures = self._lost = 0
        self._sources: dict[str, None] = {}

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def opening(self, source: Source, step: str) -> None:
        """See Listener."""
        self._show(source, now=f"{source.name}: {step}")

    def begins(self, source: Source, figure: Figure) -> None:
        """See Listener."""
        self._show(source, now=f"{source.name}: explaining {figure.label or figure.id}")

    def text(self, piece: str) -> None:
        """See Listener."""

    def explained(self, source: Source, explained: ExplainedFigure, *, kept: bool) -> None:  # noqa: ARG002
        """See Listener."""
        self._figures += 1
        self._show(source, figures=self._figures)

    def lost(self, dropped: Dropped) -> None:
        """See Listener."""
        self._lost += 1
        self._bar.update(self._task, lost=self._lost)
        tell_lost(dropped)

    def note(self, text: str) -> None:
        """See Listener."""
        stderr.print(f"[yellow]note:[/] {escape(text)}")

    def _show(self, source: Source, **fields: Any) -> None:
        self._sources.setdefault(source.name)
        if "now" in fields:
            fields["now"] = escape(printable(fields["now"])[:100])
        self._bar.update(self._task, completed=len(self._sources) - 1, **fields)


def tell_lost(dropped: Dropped) -> None:
    """One line on stderr for what is not explained."""
    detail = f": {dropped.detail}" if dropped.detail else ""
    stderr.print(f"[yellow]left out:[/] {escape(printable(f'{dropped.item}: {dropped.reason}{detail}'))}")
