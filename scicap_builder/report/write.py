"""The page itself: a data set in, one HTML file out that needs nothing else."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from llava_graph.dataset import read_dataset, read_dropped, read_json
from llava_graph.errors import InputError
from llava_graph.licences import is_redistributable
from llava_graph.record import Figure
from llava_graph.standalone import Budget, standalone_page
from scicap_builder.exports.writing import whole
from scicap_builder.paper_pdfs import PaperPdfs
from scicap_builder.report import plots
from scicap_builder.report.totals import LOW_CONFIDENCE, NO_PAPER, Totals, count
from scicap_builder.report.views import MAX_OCR_LINES, PaperView, paper_view

PICTURE_BYTES = 24_000_000
"""Of all pictures on the page together: browsers open 30 MB of HTML in a second or two, and mail programs still take it."""
GENERATOR = "scicap_builder report"
MAX_LINES = 100
"""Dropped lines of the list of papers that are shown."""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the page shows."""

    papers: int = 30
    """So many papers, drawn by `seed` where there are more; the totals are always of all."""
    seed: int = 0
    pdfs: Path | None = None
    """A folder with the papers' PDFs, for the pages."""
    picture_bytes: int = PICTURE_BYTES

    def __post_init__(self) -> None:
        if self.papers < 1:
            raise InputError(f"papers must be at least 1, got {self.papers}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    path: Path
    papers: int
    papers_shown: int
    figures: int
    figures_shown: int
    pictures_left_out: int
    """Pictures that found no room on the page."""
    papers_without_pages: int
    """Papers with figures, shown without their pages: their PDF was not found or cannot be drawn."""


DEFAULT_REPORT = ReportOptions()


def write_report(
    folder: Path,
    out: Path,
    options: ReportOptions = DEFAULT_REPORT,
    *,
    on_paper: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the page of the data set `folder` to the file `out`; `on_paper` is told how many papers of how many are done.

    Raises DatasetError (no data set) and InputError (`out` is a file that no report wrote).
    """
    _check_place(out)
    pdfs = PaperPdfs(options.pdfs)
    totals = count(read_dataset(folder, images=False), read_dropped(folder))
    chosen = sample(totals.papers, options.papers, options.seed)
    budget = Budget()
    share = options.picture_bytes // max(1, len(chosen))
    places = {paper_id: place for place, paper_id in enumerate(chosen, 1)}
    views: dict[str, PaperView] = {}
    for paper_id, figures in _papers(folder, chosen, totals):
        budget.add(share)
        drops = totals.drops_of_paper.get(paper_id, ())
        views[paper_id] = paper_view(
            f"p{places[paper_id]}", paper_id, figures, drops=drops, pdf=pdfs.find(paper_id), budget=budget
        )
        if on_paper:
            on_paper(len(views), len(chosen))
    papers = [views[paper_id] for paper_id in chosen]
    report = Report(
        path=out,
        papers=len(totals.papers),
        papers_shown=len(papers),
        figures=totals.figures,
        figures_shown=sum(len(paper.figures) for paper in papers),
        pictures_left_out=budget.left_out,
        papers_without_pages=sum(bool(paper.figures and paper.pages_missing) for paper in papers),
    )
    with whole(out) as file:
        for part in render(folder, totals, papers, report, options):
            file.write(part)
    return report


def sample(papers: list[str], most: int, seed: int) -> list[str]:
    """At most `most` papers, in their order; the same for the same seed."""
    if len(papers) <= most:
        return papers
    places = random.Random(seed).sample(range(len(papers)), most)  # noqa: S311  (no secret)
    return [papers[place] for place in sorted(places)]


def render(
    folder: Path, totals: Totals, papers: list[PaperView], report: Report, options: ReportOptions
) -> Iterator[str]:
    """The page in pieces of text."""
    return standalone_page(
        _file("page.html.jinja"),
        style=_file("page.css"),
        script=_file("page.js"),
        generator=GENERATOR,
        name=folder.resolve().name,
        build=read_json(folder / "build.json").get("options", {}),
        totals=totals,
        papers=papers,
        report=report,
        options=options,
        plots=_plots(totals),
        percent=plots.percent,
        low_confidence=LOW_CONFIDENCE,
        max_ocr_lines=MAX_OCR_LINES,
        kinds=sorted({view.figure.kind or "unknown" for paper in papers for view in paper.figures}),
        routes=sorted({view.figure.paper.route or "unknown" for paper in papers for view in paper.figures}),
        reasons=sorted({drop.reason for paper in papers for drop in paper.drops}),
        bad_lines=totals.drops_of_paper.get(NO_PAPER, [])[:MAX_LINES],
        bad_line_count=len(totals.drops_of_paper.get(NO_PAPER, [])),
    )


def _plots(totals: Totals) -> list[tuple[str, str, Any]]:
    """(title, what its numbers come to, SVG)."""

    def middle(values: Mapping[int, int], unit: str) -> str:
        return f"median {plots.median(values):,} {unit}" if values else ""

    per_paper = Counter(totals.figures_of_paper.values())
    restricted = [name for name in totals.licences if not is_redistributable(name)]
    unknown = totals.figures - totals.confidence.total()
    return [
        ("Figures per paper", middle(per_paper, "figures"), plots.histogram(per_paper, "figures", "papers")),
        ("Caption length", middle(totals.caption_words, "words"), plots.histogram(totals.caption_words, "words")),
        (
            "First mention",
            middle(totals.mention_tokens, "tokens") + ", 4 characters each",
            plots.histogram(totals.mention_tokens, "tokens"),
        ),
        (
            "Paragraphs per figure",
            middle(totals.mentions, "paragraphs"),
            plots.histogram(totals.mentions, "paragraphs"),
        ),
        ("Text in the figure", middle(totals.ocr_lines, "lines"), plots.histogram(totals.ocr_lines, "lines")),
        (
            "Confidence",
            f"below {100 * LOW_CONFIDENCE:.0f} %: {totals.flags['low-confidence']:,}"
            + (f", unknown: {unknown:,}" if unknown else ""),
            plots.histogram(totals.confidence, "per cent"),
        ),
        ("Panels", f"compound: {totals.flags['compound']:,}", plots.histogram(totals.panels, "panels")),
        ("Kinds", "", plots.bars(totals.kinds)),
        ("Routes", f"disagreements: {totals.flags['disagreement']:,}", plots.bars(totals.routes)),
        (
            "Licences",
            f"may not be published again: {totals.flags['restricted']:,}",
            plots.bars(totals.licences, muted=restricted),
        ),
        ("Left out, by reason", f"{totals.drops.total():,} in all", plots.bars(totals.drops, "dropped")),
    ]


def _papers(folder: Path, chosen: list[str], totals: Totals) -> Iterator[tuple[str, list[Figure]]]:
    """(paper's id, its figures) as soon as its last figure is read: at most a few papers' pixels are in memory."""
    waiting: dict[str, list[Figure]] = {}
    for figure in read_dataset(folder, papers=frozenset(chosen)):
        paper = figure.paper.id
        waiting.setdefault(paper, []).append(figure)
        if len(waiting[paper]) == totals.figures_of_paper[paper]:
            yield paper, waiting.pop(paper)
    yield from ((paper, []) for paper in chosen if not totals.figures_of_paper[paper])


def _check_place(out: Path) -> None:
    """Refuse to write over what is not a report."""
    if out.is_dir():
        raise InputError("it is a folder, the report is one file", where=str(out), next_step="Give --out FILE.html")
    if out.exists():
        with out.open("rb") as file:
            if GENERATOR.encode() not in file.read(2000):
                raise InputError("it exists and is no report", where=str(out), next_step="Give another --out")


def _file(name: str) -> str:
    return (files("scicap_builder.report") / name).read_text(encoding="utf-8")
