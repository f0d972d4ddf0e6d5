"""Figures and drops in, the counts that a report shows out. One pass, no pixels, memory grows with the papers only."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from llava_graph.licences import is_redistributable, licence_name
from llava_graph.prompt import about_tokens
from llava_graph.record import Dropped, Figure
from scicap_builder.mentions import parse_label

LOW_CONFIDENCE = 0.7
"""Below this a page and box are worth a look: the routes give less only to guesses (a fallback crop, a doubtful match)."""
NO_PAPER = ""
"""The paper of a dropped line that names none."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over a whole data set: value -> how many."""

    figures_of_paper: Counter[str] = field(default_factory=Counter)
    """paper id -> figures, in order of appearance; 0 for papers of which only drops are known."""
    drops_of_paper: dict[str, list[Dropped]] = field(default_factory=dict)
    caption_words: Counter[int] = field(default_factory=Counter)
    mention_tokens: Counter[int] = field(default_factory=Counter)
    """Of the first mention, by `about_tokens`; figures without a mention are not in it."""
    mentions: Counter[int] = field(default_factory=Counter)
    """Paragraphs a figure."""
    ocr_lines: Counter[int] = field(default_factory=Counter)
    confidence: Counter[int] = field(default_factory=Counter)
    """Per cent; figures of which it is not known are not in it."""
    panels: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    """reason -> count"""
    flags: Counter[str] = field(default_factory=Counter)
    """What `flags` says of the figures."""

    @property
    def figures(self) -> int:
        """All figures."""
        return self.figures_of_paper.total()

    @property
    def papers(self) -> list[str]:
        """The ids of all papers, in order of appearance."""
        return list(self.figures_of_paper)


def count(figures: Iterable[Figure], dropped: Iterable[Dropped]) -> Totals:
    """Count everything once."""
    totals = Totals()
    for figure in figures:
        _add(totals, figure)
    for drop in dropped:
        totals.drops[drop.reason] += 1
        paper = paper_of(drop.item, totals.figures_of_paper)
        totals.drops_of_paper.setdefault(paper, []).append(drop)
        if paper != NO_PAPER:
            totals.figures_of_paper.setdefault(paper, 0)
    return totals


def _add(totals: Totals, figure: Figure) -> None:
    paper = figure.paper
    totals.figures_of_paper[paper.id] += 1
    totals.caption_words[len(figure.caption.split())] += 1
    totals.mentions[len(figure.mentions)] += 1
    if figure.mentions:
        totals.mention_tokens[about_tokens(figure.first_mention)] += 1
    totals.ocr_lines[len(figure.ocr)] += 1
    totals.panels[max(1, len(figure.panels))] += 1
    if paper.confidence is not None:
        totals.confidence[round(100 * paper.confidence)] += 1
    totals.kinds[figure.kind or "unknown"] += 1
    totals.routes[paper.route or "unknown"] += 1
    totals.licences[licence_name(figure.licence or paper.licence)] += 1
    totals.splits[figure.split] += 1
    totals.flags.update(flags(figure))


def flags(figure: Figure) -> tuple[str, ...]:
    """What a person may want to look for: low-confidence, disagreement, no-mention, no-caption, compound, restricted."""
    confidence = figure.paper.confidence
    found = {
        "low-confidence": confidence is not None and confidence < LOW_CONFIDENCE,
        "disagreement": bool(figure.paper.disagreements),
        "no-mention": not figure.mentions,
        "no-caption": not figure.caption.strip(),
        "compound": not figure.single_panel,
        "restricted": not is_redistributable(figure.licence or figure.paper.licence),
    }
    return tuple(name for name, holds in found.items() if holds)


def paper_of(item: str, known: Iterable[str] | dict[str, int]) -> str:
    """The paper that a dropped item is of: "local:a b Figure 3" and "local:a b#fig3" -> "local:a b"; NO_PAPER for a bad line."""
    if not item.startswith(("arxiv:", "local:")):
        return item if item in known else NO_PAPER
    bare = re.sub(r"#fig.*$", "", item)
    ends = [match.start() for match in re.finditer(" ", bare)]
    for end in (len(bare), *reversed(ends)):
        if bare[:end] in known:
            return bare[:end]
    if bare.startswith("arxiv:"):
        return bare.partition(" ")[0]
    return next((bare[:end] for end in ends if parse_label(bare[end:])), bare)
