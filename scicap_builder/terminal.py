"""What people read on the terminal: progress and summaries of builds, imports, exports and reports; records of a data set."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError, did_you_mean
from llava_graph.licences import is_redistributable
from llava_graph.record import Dropped, Figure
from scicap_builder.exports import Exported
from scicap_builder.progress import Step
from scicap_builder.report import Report
from scicap_builder.run import BuildResult, Progress
from scicap_builder.sources.importing import Imported

MENTION_CHARS = 600
"""How much of a paragraph or turn a panel shows."""
OCR_LINES = 12
SHOWN_TURNS = 8
SHOWN_DROPS = 10


class ProgressBar:
    """Papers, figures and dropped while a build runs. A context manager that is called with each Progress; the first shows it."""

    def __init__(self, console: Console) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("papers"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("figures {task.fields[figures]}  dropped {task.fields[dropped]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        self._bar = Bar(*columns, console=console)
        self._task = self._bar.add_task("build", total=None, figures=0, dropped=0, now="")

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def __call__(self, at: Progress) -> None:
        self._bar.start()
        self._bar.update(
            self._task,
            total=at.papers,
            completed=at.papers_done,
            figures=at.figures,
            dropped=at.dropped,
            now=escape(at.now),
        )

    def step(self, at: Step) -> None:
        """Show what is done before the first paper."""
        self._bar.start()
        self._bar.update(self._task, now=escape(str(at)))


def this_command() -> str:
    """What was typed, for doing it again."""
    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])  # noqa: PTH119


def summary(result: BuildResult, again: str) -> RenderableType:
    """The end of a build: counts, what was dropped and why, and how to go on. `again` is the command to repeat."""
    counts = result.summary
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    splits = ", ".join(f"{name} {count}" for name, count in counts.splits.items())
    table.add_row("papers done", str(result.papers_done), f"of {result.papers}")
    table.add_row("figures read", str(counts.figures), splits)
    table.add_row("dropped", str(sum(counts.dropped.values())), "")
    for reason, count in counts.dropped.items():
        table.add_row("", str(count), escape(reason))
    kept_back = sum(count for licence, count in counts.licences.items() if not is_redistributable(licence))
    if kept_back:
        table.add_row(
            "not to publish", str(kept_back), "figures: their licence (or none) does not let images be passed on"
        )
    parts: list[RenderableType] = [table]
    parts += _listed("These lines name no paper we can read:", result.bad_lines)
    parts += _listed("These papers could not be fetched now:", result.later)
    if result.papers_left or result.interrupted:
        state = "Stopped" if result.interrupted or result.error else "Not finished"
        parts.append(Text(f"{state}: {result.papers_left} papers are left. The same command goes on:\n    {again}"))
    elif counts.figures:
        parts.append(Text(f"The data set is in {result.out}.  Look at it:  scicap_builder show {result.out}"))
    return Group(*parts)


def _listed(title: str, items: tuple[Dropped, ...]) -> list[RenderableType]:
    if not items:
        return []
    lines = [f"  {item.item}  {item.reason}: {item.detail}" for item in items[:SHOWN_DROPS]]
    more = [f"  … and {len(items) - SHOWN_DROPS} more"] if len(items) > SHOWN_DROPS else []
    return [Text("\n".join([title, *lines, *more]), style="yellow")]


def import_summary(done: Imported) -> RenderableType:
    """The end of an import: the report, the counts, the licence."""
    report, source = done.integrity, done.source
    left_out = ", ".join(f"{reason} {count}" for reason, count in report.dropped.items())
    splits = ", ".join(f"{name} {count}" for name, count in done.summary.splits.items()) if done.summary else ""
    lines = [
        *report.lines(),
        f"{report.rows} rows = {report.figures} records"
        + (f" ({splits})" if splits else "")
        + f" + {sum(report.dropped.values())} dropped"
        + (f": {left_out}" if left_out else ""),
        f"split: {source.split}",
        f"licence: {source.licence or 'not stated'}; access: {source.access}"
        + ("" if is_redistributable(source.record_licence) else ". Do not publish the data set with its images"),
    ]
    if done.out:
        lines.append(f"The data set is in {done.out}.  Look at it:  scicap_builder show {done.out}")
    return Group(*(Text(line) for line in lines))


def export_summary(done: Exported) -> RenderableType:
    """The end of an export: what was written and left out, and what must not be published."""
    left_out = ", ".join(f"{reason} {count}" for reason, count in done.left_out.items())
    lines = [f"{done.figures} figures in {done.path}" + (f", left out: {left_out}" if left_out else "")]
    if done.pictures_left_out:
        lines.append(f"{done.pictures_left_out} of them without their picture, as --images asks")
    if done.restricted:
        lines.append(
            f"{done.restricted} of {done.pictures} pictures must not be published again: their papers' licences do not allow it "
            "or are not known. Leave them out with --images redistributable"
        )
    return Text("\n".join(lines))


@contextmanager
def paper_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar that is called with (papers done, of so many)."""
    columns = (
        SpinnerColumn(),
        TextColumn("papers"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("report", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def report_summary(done: Report) -> RenderableType:
    """What a report shows, and of how much."""
    size = done.path.stat().st_size / 1e6
    lines = [
        f"{done.path} ({size:.1f} MB): {done.papers_shown} of {done.papers} papers, "
        f"{done.figures_shown} of {done.figures} figures. Open it in a browser"
    ]
    if done.papers_without_pages:
        papers = "paper without its" if done.papers_without_pages == 1 else "papers without their"
        lines.append(f"{done.papers_without_pages} {papers} pages: give --pdfs, the folder with the papers")
    if done.pictures_left_out:
        lines.append(f"{done.pictures_left_out} pictures found no room on the page: fewer --papers show them all")
    return Text("\n".join(lines))


def chosen(folder: Path, count: int, id_: str | None, split: str | None = None) -> Iterator[Figure]:
    """The first `count` records, or the one with the id (or all whose id begins with it). Raises InputError, DatasetError."""
    figures: Iterable[Figure] = read_dataset(folder, split)
    if id_ is None:
        yield from islice(figures, count)
        return
    known = []
    found = False
    for figure in figures:
        known.append(figure.id)
        if figure.id == id_ or figure.id.startswith(f"{id_}#"):
            found = True
            yield figure
    if not found:
        near = did_you_mean(id_, known).split("Known:")[0].strip()
        raise InputError(f"no record has the id {id_!r}", where=str(folder), next_step=near)


def panel(figure: Figure) -> Panel:
    """One record as a person reads it."""
    paper = figure.paper
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    place = f"page {paper.page}" if paper.page else "page unknown"
    sure = f", sure {paper.confidence:.0%}" if paper.confidence is not None else ""
    facts.add_row("paper", escape(paper.title or paper.id))
    facts.add_row("where", f"{place}, read from {paper.route or 'unknown'}{sure}")
    facts.add_row("image", f"{figure.width} x {figure.height} px, {figure.split}")
    facts.add_row("caption", escape(figure.caption) or "[dim]none[/]")
    facts.add_row("text in it", escape(_ocr_text(figure)) or "[dim]none[/]")
    first = figure.first_mention
    facts.add_row("first mention", escape(_short(first)) or "[dim]no paragraph cites it[/]")
    facts.add_row("mentions", str(len(figure.mentions)))
    for turn in figure.turns[:SHOWN_TURNS]:
        facts.add_row("asked" if turn.role == "user" else "answer", escape(_short(turn.text)))
    if len(figure.turns) > SHOWN_TURNS:
        facts.add_row("", f"[dim]… {len(figure.turns) - SHOWN_TURNS} more turns[/]")
    if figure.licence:
        facts.add_row("licence", escape(figure.licence))
    return Panel(facts, title=f"[bold]{escape(figure.label)}[/]  {escape(figure.id)}", title_align="left")


def _short(text: str) -> str:
    return text[:MENTION_CHARS] + ("…" if len(text) > MENTION_CHARS else "")


def _ocr_text(figure: Figure) -> str:
    lines = [line.text for line in figure.ocr[:OCR_LINES]]
    more = len(figure.ocr) - len(lines)
    return " | ".join(lines) + (f" | … {more} more lines" if more > 0 else "")
