"""Scores that need more than two texts: language models, graphs, lists of answers.

In: items with answers, instruments. Out: measures. What an instrument cannot do is told by its name; the other scores stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from llava_graph.errors import LlavaGraphError
from llava_graph.evaluate import vqa
from llava_graph.evaluate.answered import CAPTION, CHAT, EXPLAIN, FREE, OPEN, REPORT, Pair
from llava_graph.evaluate.bertscore import PUBLISHED_MODEL, Matched
from llava_graph.evaluate.bleu import CXR_EPSILON, cxr_words, nltk_bleu
from llava_graph.evaluate.chexbert import FIVE, OBSERVATIONS, Reading, cosine
from llava_graph.evaluate.measure import PUBLISHED, STRICT, Measure, mean
from llava_graph.evaluate.radcliq import radcliq_v1
from llava_graph.evaluate.radgraph import Annotator, published_radgraph_f1, radgraph_f1

Pairs = Sequence[Pair]
PROSE = (EXPLAIN, CAPTION, CHAT, FREE, REPORT)
"""Kinds of questions that are answered in sentences."""
BERTSCORE, CHEXBERT, RADGRAPH, CANDIDATES = "BERTScore", "CheXbert", "RadGraph", "open accuracy"


class Matcher(Protocol):
    """`bertscore.BertScorer`."""

    @property
    def name(self) -> str:
        """Of the published model."""

    @property
    def about(self) -> str:
        """Model, layer and scale."""

    def rescaled(self, f1: float) -> float:
        """On the scale of the model's baseline."""

    def __call__(self, answers: Sequence[str], references: Sequence[str]) -> list[Matched]:
        """Each answer against its reference."""


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """What there is."""

    bertscore: Matcher | None = None
    chexbert: Callable[[Sequence[str]], list[Reading]] | None = None
    radgraph: Annotator | None = None
    candidates: tuple[str, ...] = ()
    """Answers to open questions, of which LLaVA-Med's script takes the nearest."""


NOTHING = Instruments()


def measure_with(pairs: Pairs, instruments: Instruments, failed: dict[str, str]) -> list[Measure]:
    """All their scores; in `failed` the name of each that did not work, and why."""
    prose = [pair for pair in pairs if pair.item.kind in PROSE]
    reports = [pair for pair in pairs if pair.item.kind == REPORT]
    questions = [pair for pair in pairs if pair.item.kind == OPEN]
    todo: list[tuple[str, object, Pairs, Callable[[Pairs, Instruments], list[Measure]]]] = [
        (BERTSCORE, instruments.bertscore, prose, bertscores),
        (CHEXBERT, instruments.chexbert, reports, chexbert_scores),
        (RADGRAPH, instruments.radgraph, reports, radgraph_scores),
        (CANDIDATES, instruments.candidates, questions, candidate_scores),
    ]
    found: list[Measure] = []
    for name, instrument, some, score in todo:
        if instrument and some:
            try:
                found += score(some, instruments)
            except (LlavaGraphError, RuntimeError) as error:  # torch tells of a full GPU by the latter
                failed[name] = str(error).partition("\n")[0]
    return [*found, *radcliq(reports, found)]


def bertscores(pairs: Pairs, instruments: Instruments) -> list[Measure]:
    """F1, rescaled where the model is a published one.

    Published (of reports, CXR-Report-Metric's model): an empty answer has an F1 of 0 before rescaling, -5.5 behind it, which
    pulls a whole mean down. Strict: it has 0, which is what unlike sentences have.
    """
    scorer = instruments.bertscore
    if scorer is None:
        return []
    matched = scorer([pair.text for pair in pairs], [pair.item.reference for pair in pairs])
    rows = dict(zip((pair.item.id for pair in pairs), matched, strict=True))
    raw = {name: scorer.rescaled(one.f1) for name, one in rows.items()}
    strict = {pair.item.id: raw[pair.item.id] if pair.text.strip() else 0.0 for pair in pairs}
    measures = [mean(BERTSCORE, STRICT, strict, note=scorer.about)]
    if scorer.name == PUBLISHED_MODEL:
        reports = {pair.item.id: raw[pair.item.id] for pair in pairs if pair.item.kind == REPORT}
        if reports:
            measures.insert(0, mean(BERTSCORE, PUBLISHED, reports, note=scorer.about))
    if any(one.cut for one in rows.values()):
        cut = {name: float(one.cut) for name, one in rows.items()}
        measures.append(mean("BERTScore, texts cut", STRICT, cut, note="longer than the model reads"))
    return measures


def chexbert_scores(pairs: Pairs, instruments: Instruments) -> list[Measure]:
    """Cosine of the reports' vectors, and F1 of their findings over 14 observations and over five.

    Published: an empty report has a vector too, like that of any short one; an observation that no report has counts as 0 in a
    macro F1 (scikit-learn's, in f1chexbert). Strict: an empty answer has 0; such an observation is left out.
    """
    if instruments.chexbert is None:
        return []
    texts = [*(pair.text for pair in pairs), *(pair.item.reference for pair in pairs)]
    read = instruments.chexbert(texts)
    mine, theirs = read[: len(pairs)], read[len(pairs) :]
    ids = [pair.item.id for pair in pairs]
    alike = {name: cosine(a.vector, b.vector) for name, a, b in zip(ids, mine, theirs, strict=True)}
    strict = {pair.item.id: alike[pair.item.id] if pair.text.strip() else 0.0 for pair in pairs}
    measures = [mean("CheXbert similarity", PUBLISHED, alike), mean("CheXbert similarity", STRICT, strict)]
    for size, wanted in (("14", OBSERVATIONS), ("5", FIVE)):
        places = [OBSERVATIONS.index(name) for name in wanted]
        rows = {
            name: tuple(float(count) for place in places for count in _hits(a.findings[place], b.findings[place]))
            for name, a, b in zip(ids, mine, theirs, strict=True)
        }
        for name, flavour, of_sums in (
            ("micro", PUBLISHED, micro_f1),
            ("macro", PUBLISHED, macro_f1_of_all),
            ("macro", STRICT, macro_f1_of_those_there),
        ):
            measures.append(Measure(name=f"CheXbert {name} F1-{size}", flavour=flavour, rows=rows, of_sums=of_sums))
    return measures


def _hits(said: bool, true: bool) -> tuple[bool, bool, bool]:
    return said and true, said, true


def micro_f1(sums: Sequence[float]) -> float:
    """From (hits, said, true) of each observation. Raises ZeroDivisionError where no report has any."""
    return 2 * sum(sums[0::3]) / (sum(sums[1::3]) + sum(sums[2::3]))


def macro_f1_of_all(sums: Sequence[float]) -> float:
    """As scikit-learn: an observation that nobody has counts as 0."""
    scores = list(_f1s(sums))
    return sum(score or 0.0 for score in scores) / len(scores)


def macro_f1_of_those_there(sums: Sequence[float]) -> float:
    """Of the observations that an answer or a reference has."""
    scores = [score for score in _f1s(sums) if score is not None]
    return sum(scores) / len(scores)


def _f1s(sums: Sequence[float]) -> Iterator[float | None]:
    for hits, said, true in zip(sums[0::3], sums[1::3], sums[2::3], strict=True):
        yield 2 * hits / (said + true) if said + true else None


def radgraph_scores(pairs: Pairs, instruments: Instruments) -> list[Measure]:
    """Of the reports whose graphs are there; the others are counted in the note."""
    if instruments.radgraph is None:
        return []
    graphs = instruments.radgraph(pairs)
    some = [f"PARTIAL: {len(graphs.found)} of {len(pairs)} reports"] if len(graphs.found) < len(pairs) else []
    note = ", ".join([*some, *(f"{reason} {count}" for reason, count in graphs.problems.items())])
    published = {name: published_radgraph_f1(*both) for name, both in graphs.found.items()}
    strict = {name: radgraph_f1(*both) for name, both in graphs.found.items()}
    said = {name: value for name, value in strict.items() if value is not None}
    return [mean("RadGraph F1", PUBLISHED, published, note=note), mean("RadGraph F1", STRICT, said, note=note)]


def radcliq(pairs: Pairs, found: Sequence[Measure]) -> list[Measure]:
    """RadCliQ-v1 of the reports that have its four scores."""
    parts = {one.name: one.rows for one in found if one.flavour == PUBLISHED}
    wanted: list[Mapping[str, tuple[float, ...]]] = []
    for name in ("RadGraph F1", BERTSCORE, "CheXbert similarity"):
        if name not in parts:
            return []
        wanted.append(parts[name])
    values = {}
    for pair in pairs:
        if all(pair.item.id in rows for rows in wanted):
            words = cxr_words(pair.text), cxr_words(pair.item.reference)
            bleu = nltk_bleu(*words, (0.5, 0.5), epsilon=CXR_EPSILON)
            graphs, words_alike, vectors_alike = (rows[pair.item.id][0] for rows in wanted)
            values[pair.item.id] = radcliq_v1(graphs, words_alike, vectors_alike, bleu)
    some = f"PARTIAL: {len(values)} of {len(pairs)} reports; " if len(values) < len(pairs) else ""
    return [mean("RadCliQ-v1", PUBLISHED, values, scale=0.0, note=f"{some}errors: lower is better")]


def candidate_scores(pairs: Pairs, instruments: Instruments) -> list[Measure]:
    """LLaVA-Med's open accuracy: right is an answer that is nearest to the reference among all candidates."""
    nearest = vqa.Candidates(instruments.candidates)
    reference = {pair.item.id: pair.item.reference for pair in pairs}
    published = {pair.item.id: nearest.published_hit(pair.text, reference[pair.item.id]) for pair in pairs}
    strict = {pair.item.id: nearest.hit(pair.text, reference[pair.item.id]) for pair in pairs}
    out_of_reach = {name: float(not nearest.has(text)) for name, text in reference.items()}
    note = f"{len(instruments.candidates)} candidates"
    return [
        mean("open accuracy", PUBLISHED, published, note=note),
        mean("open accuracy", STRICT, strict, note=note),
        mean("open reference is no candidate", STRICT, out_of_reach, note="cannot be right"),
    ]
