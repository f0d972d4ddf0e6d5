"""One paper read again and again, each time without one rule; what the rule does not touch is read once. No pictures."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

from benchmarks.rules import RULES
from benchmarks.switches import Rule, switched_off
from benchmarks.truth import rows
from scicap_builder.archive import unpack
from scicap_builder.join import join
from scicap_builder.latex import read as latex
from scicap_builder.latex.pictures import Picture
from scicap_builder.latex.sources import Sources
from scicap_builder.papers import paper_at
from scicap_builder.pdf import read as pdf
from scicap_builder.pdf.lines import Line
from scicap_builder.pdf.page import Page
from scicap_builder.pdf.pdfium import OpenPdf
from scicap_builder.reading import PaperReading

PAGE_MODULES = frozenset(("pdf.page", "pdf.pdfium", "pdf.bounds"))
"""A rule of these has the pages read anew."""
LABELS = frozenset(("mentions:_LABEL", "mentions:_LABEL_AFTER"))
"""Lines hold together behind a label: these have the lines read anew, as those of `pdf.lines`."""
LATE_MODULES = frozenset(("pdf.regions", "pdf.front", "mentions"))
LATE = frozenset(("pdf.read:ink_box", "pdf.read:on_page_before"))
"""These, and rules of LATE_MODULES, act when the layout is known."""
EXPANDING = frozenset(f"latex.{name}" for name in ("read", "sources", "expand", "conditionals", "definitions"))
"""A rule of these has the source expanded anew."""


class _Paper:
    """One paper, read again and again; what a rule does not touch is read once."""

    def __init__(self, opened: OpenPdf, folder: Path, work: Path) -> None:
        self._pdf = opened
        source = paper_at(str(folder)).source
        self._root = unpack(source, work).root if source else None
        self._lines: dict[int, tuple[Line, ...]] = {}
        self._texts: dict[str, str] = {}

    def read(self, rule: Rule | None, route: str) -> PaperReading | None:
        """The paper by a route without a rule; None where it has no source and one is asked for."""
        if route == "pdf":
            return self._by_pdf(rule)
        if self._root is None:
            return None
        if route == "latex":
            anew = rule is None or rule.modules & EXPANDING
            with nullcontext() if anew else patch.object(latex, "_expanded", self._known_text(latex._expanded)):
                return _by_source(self._root)
        return join(self._source, self._whole, None)

    @cached_property
    def _pages(self) -> tuple[Page, ...]:
        return pdf.load_all(self._pdf)[0]

    @cached_property
    def _source(self) -> PaperReading:
        return _by_source(self._root) if self._root else PaperReading()

    @cached_property
    def _whole(self) -> PaperReading:
        return self._by_pdf(None)

    def _by_pdf(self, rule: Rule | None) -> PaperReading:
        """The steps of `read_pdf` without pictures."""
        layout = self._layout if rule is None or _is_late(rule) else self._laid_out(rule)
        figures, _ = pdf.deliver(self._pdf, layout, pdf.locate(self._pdf, layout), dpi=150, images=False)
        return PaperReading(
            title=pdf.read_title(layout.first_page, layout.style),
            abstract=pdf.read_abstract(layout.front, layout.style),
            figures=figures,
        )

    @cached_property
    def _layout(self) -> pdf.Layout:
        with patch.object(pdf, "read_lines", self._known_lines(pdf.read_lines)):
            return pdf.lay_out(self._pages)

    def _laid_out(self, rule: Rule) -> pdf.Layout:
        if rule.modules & PAGE_MODULES:
            return pdf.lay_out(pdf.load_all(self._pdf)[0])
        if "pdf.lines" in rule.modules or LABELS & set(rule.places.split()):
            return pdf.lay_out(self._pages)
        with patch.object(pdf, "read_lines", self._known_lines(pdf.read_lines)):
            return pdf.lay_out(self._pages)

    def _known_lines(self, read_lines: Callable[[Page], tuple[Line, ...]]) -> Callable[[Page], tuple[Line, ...]]:
        def known(page: Page) -> tuple[Line, ...]:
            if page.number not in self._lines:
                self._lines[page.number] = read_lines(page)
            return self._lines[page.number]

        return known

    def _known_text(self, expanded: Callable[[Sources, str], str]) -> Callable[[Sources, str], str]:
        def known(sources: Sources, main: str) -> str:
            if main not in self._texts:
                self._texts[main] = expanded(sources, main)
            return self._texts[main]

        return known


def _is_late(rule: Rule) -> bool:
    places = set(rule.places.split())
    return not places & LABELS and all(p in LATE or p.partition(":")[0] in LATE_MODULES for p in places)


def _by_source(root: Path) -> PaperReading:
    """The source's reading; a picture that is there counts as there and is not opened."""
    with patch.object(latex, "figure_picture", lambda graphics, *_: Picture(b"there") if graphics else None):
        return latex.read_latex(root)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one paper gave, as the scorer wants it."""

    lines: tuple[str, ...]
    front: tuple[str, str]
    crashed: str = ""
    calls: int = 0
    """How often stand-ins that are functions were called."""

    @property
    def said(self) -> tuple[tuple[str, ...], tuple[str, str]]:
        return self.lines, self.front


def readings(folder: Path, names: Sequence[str]) -> dict[str, Reading | None]:
    """The paper by each route with all rules (under the route's name) and without each of the rules `names`."""
    chosen = [rule for rule in RULES if rule.name in names]
    found: dict[str, Reading | None] = {}
    with tempfile.TemporaryDirectory() as work, pdf.open_pdf(folder / "paper.pdf") as opened:
        paper = _Paper(opened, folder, Path(work) / "source")
        for route in sorted({rule.route for rule in chosen}):
            found[route] = _reading(paper, folder.name, None, route)
        for rule in chosen:
            found[rule.name] = _reading(paper, folder.name, rule, rule.route)
    return found


def _reading(paper: _Paper, name: str, rule: Rule | None, route: str) -> Reading | None:
    with switched_off(rule) as calls:
        try:
            reading = paper.read(rule, route)
        except Exception as error:
            if rule is None:
                raise
            return Reading((), ("", ""), f"{type(error).__name__}: {error}", len(calls))
    return (
        None
        if reading is None
        else Reading(tuple(rows(name, reading)), (reading.title, reading.abstract), calls=len(calls))
    )
