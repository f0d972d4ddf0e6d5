"""Who is told how it goes (`explaining.Listener`): answers on stdout as text or JSON lines, all else on stderr."""

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from llava_graph.asking import MEDICAL_NOTE, is_medical
from llava_graph.command import note, shown, stderr
from llava_graph.commands.screen import BOLD, AnswerText, Screen
from llava_graph.explained import ExplainedFigure, to_plain
from llava_graph.explained.wording import ending
from llava_graph.printable import printable, printable_json
from llava_graph.record import Dropped, Figure
from llava_graph.sources import Source


class Printed:
    """Answers on stdout, each as it comes, under the name of its figure where there are several."""

    def __init__(self, screen: Screen, *, titles: bool, evidence: bool = False) -> None:
        self._screen, self._titles, self._evidence = screen, titles, evidence
        self._answer: AnswerText | None = None
        self._count = 0
        self._warned = False

    def opening(self, source: Source, step: str) -> None:
        """See `explaining.Listener`."""
        if stderr.is_terminal:
            stderr.print(f"[dim]{shown(f'{source.name}: {step}')}[/]", end="\r\x1b[K")

    def begins(self, source: Source, figure: Figure) -> None:
        """See Listener."""
        if stderr.is_terminal:
            stderr.file.write("\x1b[K")
        if self._titles:
            self._screen.write(("\n" if self._count else "") + self._title(source, figure) + "\n")
        self._count += 1
        self._answer = AnswerText(self._screen, figure if self._evidence else None)

    def text(self, piece: str) -> None:
        """See Listener."""
        if self._answer:
            self._answer.push(piece)

    def explained(self, source: Source, explained: ExplainedFigure, *, kept: bool) -> None:
        """See Listener."""
        if kept or self._answer is None:
            self.begins(source, explained.figure)
        if self._answer and self._answer.empty:
            self._answer.push(explained.text)
        if self._answer and not self._answer.empty:
            self._answer.end()
        else:
            self.note(f"the model gave no text for {explained.figure.id}")
        self._answer = None
        if explained.answers[-1].finish_reason == "length":
            self.note(
                f"{explained.figure.label or explained.figure.id}: {ending(explained.answers[-1])}; see --max-new-tokens"
            )
        if is_medical(explained.figure) and not self._warned:
            self._warned = True
            self.note(MEDICAL_NOTE)

    def lost(self, dropped: Dropped) -> None:
        """See Listener."""
        self._broken_off()
        tell_lost(dropped)

    def note(self, text: str) -> None:
        """See Listener."""
        note(text)

    def _broken_off(self) -> None:
        """An answer that failed in its middle leaves its line."""
        if self._answer and not self._answer.empty:
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
        self._screen.write(printable_json(to_plain(explained, pictures=False)) + "\n")

    def lost(self, dropped: Dropped) -> None:
        """See Listener."""
        tell_lost(dropped)

    def note(self, text: str) -> None:
        """See Listener."""
        note(text)


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
        note(text)

    def _show(self, source: Source, **fields: Any) -> None:
        self._sources.setdefault(source.name)
        if "now" in fields:
            fields["now"] = shown(fields["now"][:100])
        self._bar.update(self._task, completed=len(self._sources) - 1, **fields)


def tell_lost(dropped: Dropped) -> None:
    """One line on stderr for what is not explained."""
    told = ": ".join(part for part in (dropped.item.strip(), dropped.reason, dropped.detail) if part)
    stderr.print(f"[yellow]left out:[/] {shown(told)}")
