"""Labelled sentences for `bench_evidence`: made from papers with known truth, and written by hand (evidence_answers.json)."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llava_graph.evaluate.numbers import find_numbers
from llava_graph.evidence.sentences import sentences
from llava_graph.evidence.words import words_of
from llava_graph.record import Figure, OcrLine

ANSWERS = Path(__file__).with_name("evidence_answers.json")
LEAST_WORDS = 5
"""Content words of a sentence that is used."""
MOST_EACH = 8
"""Sentences of one kind for one figure: long papers must not outweigh the others."""
FLIPS = {
    one: other
    for pair in (
        ("increases", "decreases"), ("increased", "decreased"), ("increase", "decrease"), ("higher", "lower"),
        ("highest", "lowest"), ("larger", "smaller"), ("largest", "smallest"), ("better", "worse"), ("best", "worst"),
        ("more", "less"), ("faster", "slower"), ("maximum", "minimum"), ("positive", "negative"), ("above", "below"),
        ("before", "after"), ("earlier", "later"), ("high", "low"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip
FLIPPED = re.compile(rf"\b(?:{'|'.join(FLIPS)})\b")
BESIDE = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])")


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence said of a figure, and what is true of it."""

    figure: Figure
    text: str
    label: str
    """supported, other figure, other paper, number, name, opposite or outside."""
    changed: tuple[int, int] | None = None
    """Where one number was changed."""


def read_figures(papers: Path) -> dict[str, list[Figure]]:
    """Paper -> its figures that paragraphs cite, with caption, paragraphs and, where it is known, the text inside."""
    inside = _figure_text(papers / "figures" / "figures.jsonl")
    found: dict[str, list[Figure]] = {}
    for file in sorted((papers / "gold").glob("*.json")):
        gold = json.loads(file.read_text(encoding="utf-8"))
        paragraphs = {one["index"]: one["text"] for one in gold["paragraphs"]}
        for one in gold["figures"]:
            cited = dict.fromkeys(mention["paragraph"] for mention in one["mentions"])
            name = f"{gold['id']}#{one['number']}"
            mentions = tuple(paragraphs[index] for index in cited if index in paragraphs)
            if mentions and not any(figure.id == name for figure in found.get(gold["id"], ())):
                lines = inside.get((gold["id"], one["number"]), ())
                figure = Figure(id=name, label=one["label"], caption=one["caption"], mentions=mentions, ocr=lines)
                found.setdefault(gold["id"], []).append(figure)
    return found


def _figure_text(file: Path) -> dict[tuple[str, str], tuple[OcrLine, ...]]:
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    return {
        (row["paper"], row["figure"]): tuple(
            OcrLine(text=word["text"], box=(0, 0, 1, 1)) for word in row["words"] or ()
        )
        for row in rows
    }


def written_by_hand(figures: dict[str, list[Figure]], part: str) -> Iterator[Item]:
    """The sentences of a part of evidence_answers.json: "sentences" or "unseen"."""
    known = {figure.id: figure for some in figures.values() for figure in some}
    for name, labelled in json.loads(ANSWERS.read_text(encoding="utf-8"))[part].items():
        for label, texts in labelled.items():
            yield from (Item(known[name], text, label) for text in texts)


def made_from_papers(figures: dict[str, list[Figure]]) -> Iterator[Item]:
    """Shortened sentences of a figure's own paragraphs, the same with one number or name changed, and foreign ones."""
    papers = list(figures)
    for number, paper in enumerate(papers):
        foreign = figures[papers[(number + 1) % len(papers)]]
        for figure in figures[paper]:
            rng = random.Random(figure.id)
            own = [text for paragraph in figure.mentions for text in _taken(paragraph)]
            rng.shuffle(own)
            for text in own[:MOST_EACH]:
                yield Item(figure, text, "supported")
                yield from _number_changed(figure, text, rng)
                yield from _name_changed(figure, text, foreign, rng)
                yield from _direction_changed(figure, text, rng)
            others = [
                text
                for other in figures[paper]
                for paragraph in other.mentions
                if paragraph not in figure.mentions
                for text in _taken(paragraph)
            ]
            rng.shuffle(others)
            yield from (Item(figure, text, "other figure") for text in others[:MOST_EACH])
            strange = [text for other in foreign[:2] for paragraph in other.mentions for text in _taken(paragraph)]
            yield from (Item(figure, text, "other paper") for text in strange[:MOST_EACH])


def _taken(paragraph: str) -> list[str]:
    """The sentences of a paragraph without what stands in brackets, and without their last clause where they have three."""
    found = []
    for start, end in sentences(paragraph):
        text = BESIDE.sub("", paragraph[start:end])
        clauses = re.split(r"(?<=[,;]) ", text)
        text = " ".join(clauses[:-1]).rstrip(",;") + "." if len(clauses) > 2 else text
        if len(list(words_of(text))) >= LEAST_WORDS:
            found.append(text)
    return found


def _number_changed(figure: Figure, text: str, rng: random.Random) -> Iterator[Item]:
    """One number made clearly larger, with as many digits behind the point."""
    numbers = [one for one in find_numbers(text) if re.fullmatch(r"\d+(?:\.\d+)?", one.text) and one.value > 0]
    if not numbers:
        return
    number = rng.choice(numbers)
    decimals = len(number.text.partition(".")[2])
    written = f"{number.value * rng.uniform(1.3, 2.9) + 10**-decimals:.{decimals}f}"
    changed = text[: number.start] + written + text[number.end :]
    yield Item(figure, changed, "number", (number.start, number.start + len(written)))


def _name_changed(figure: Figure, text: str, foreign: list[Figure], rng: random.Random) -> Iterator[Item]:
    """One name replaced by one of another paper."""
    names = [word for word in words_of(text) if word.is_name]
    strange = sorted(
        {other.caption[word.start : word.end] for other in foreign for word in words_of(other.caption) if word.is_name}
    )
    if names and strange:
        name, new = rng.choice(names), rng.choice(strange)
        yield Item(figure, text[: name.start] + new + text[name.end :], "name")


def _direction_changed(figure: Figure, text: str, rng: random.Random) -> Iterator[Item]:
    """One word that tells a direction replaced by its opposite."""
    places = list(FLIPPED.finditer(text))
    if places:
        place = rng.choice(places)
        yield Item(figure, text[: place.start()] + FLIPS[place[0]] + text[place.end() :], "opposite")
