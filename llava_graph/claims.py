"""What a paper claims of a figure, to be checked against the figure itself. In: a record. Out: claims, a request, verdicts.

The model that checks is shown the figure and the text inside it, and not what the paper says around it: it would only agree.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from llava_graph.errors import InputError
from llava_graph.evaluate.numbers import find_numbers
from llava_graph.evidence.numbers import is_borne_out
from llava_graph.evidence.sentences import sentences
from llava_graph.evidence.sources import sources_of
from llava_graph.evidence.words import TREND_KEYS, words_of
from llava_graph.record import Figure

MAX_CLAIMS = 8
"""Of one request: more than a model answers in turn."""
LEAST_WORDS = 3
"""Content words of a claim."""
TOPICS = frozenset({"growth", "reduction", "improvement", "presence", "absence"})
"""Nouns that name a topic as often as they tell a direction: "Growth of the colony"."""
TOKENS_PER_CLAIM = 60
SHOWN, NOT_SHOWN, CONTRADICTED = "shown", "not shown", "contradicted"

_CITES = re.compile(r"\b(?:figs?\b\.?|figures?\b)", re.IGNORECASE)
_ABOUT_ANOTHER = re.compile(r"\[CITE\]|\bet al\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the paper that a figure can bear out: it names a number or compares."""

    text: str
    paragraph: int | None
    """Which of `mentions`, from 0; None: the caption."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a model says of a claim."""

    number: int
    """Which claim, from 0."""
    verdict: str
    """SHOWN, NOT_SHOWN or CONTRADICTED."""
    reason: str


def claims_of(figure: Figure) -> tuple[Claim, ...]:
    """At most MAX_CLAIMS sentences of caption and paragraphs, in their order; before others those that cite a figure."""
    texts: list[tuple[int | None, str]] = [(None, figure.caption), *enumerate(figure.mentions)]
    found = [
        (index, text[start:end])
        for index, text in texts
        for start, end in sentences(text)
        if _is_claim(text[start:end])
    ]
    wanted = sorted(
        range(len(found)), key=lambda at: (not _CITES.search(found[at][1]) and found[at][0] is not None, at)
    )
    kept = sorted(wanted[:MAX_CLAIMS])
    return tuple(Claim(" ".join(found[at][1].split()), found[at][0]) for at in kept)


def _is_claim(sentence: str) -> bool:
    words = list(words_of(sentence))
    if len(words) < LEAST_WORDS or _ABOUT_ANOTHER.search(sentence):
        return False
    compares = any(
        word.key in TREND_KEYS and sentence[word.start : word.end].casefold() not in TOPICS for word in words
    )
    return compares or bool(find_numbers(sentence))


def alone(figure: Figure) -> Figure:
    """The figure without what the paper says around it."""
    return replace(figure, caption="", mentions=())


def claims_request(claims: Sequence[Claim]) -> tuple[str, int]:
    """The words of the request, and the tokens that its answer may take. Raises InputError where nothing is claimed."""
    if not claims:
        raise InputError(
            "neither the caption nor a paragraph makes a claim that a figure can show",
            next_step="Open the paper of this figure: its paragraphs come with it.",
        )
    lines = [
        "The sentences below stand in the paper of this figure. Check each of them against the figure itself.",
        'Answer with one line for each: its number, then "shown", "not shown" or "contradicted", then a dash and what in the '
        "figure tells it.",
        'Say "not shown" wherever the figure does not tell; do not guess, and do not trust the sentences.',
        *(f"{number}. {claim.text}" for number, claim in enumerate(claims, 1)),
    ]
    return "\n".join(lines), 40 + TOKENS_PER_CLAIM * len(claims)


_VERDICT = re.compile(
    r"^[^\w\n]*(?P<number>\d{1,2})[.):]?[ \t*_:\"“–—-]*"
    r"(?P<verdict>not[ \t]+shown|cannot[ \t]+(?:tell|be[ \t]+\w+)|unclear|contradict\w*|shown|yes|no)\b[\"”*_]*"
    r"[ \t]*[:.,;–—-]*[ \t]*(?P<reason>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_EMPHASIS = re.compile(r"\*+|__|`")
_MEANS = {"shown": SHOWN, "yes": SHOWN, "no": CONTRADICTED, "contradict": CONTRADICTED}


def checked_in(answer: str, count: int) -> tuple[Checked, ...]:
    """The verdicts of an answer, one for each claim that it speaks of, by number; a line in no such form is passed over."""
    found: dict[int, Checked] = {}
    for match in _VERDICT.finditer(answer):
        number, said = int(match["number"]) - 1, match["verdict"].casefold()
        if 0 <= number < count and number not in found:
            verdict = next((means for word, means in _MEANS.items() if said.startswith(word)), NOT_SHOWN)
            verdict = NOT_SHOWN if said.startswith("not") else verdict
            found[number] = Checked(number, verdict, _EMPHASIS.sub("", match["reason"]).strip())
    return tuple(found[number] for number in sorted(found))


def numbers_inside(claim: Claim, figure: Figure) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(numbers of the claim that stand in the figure's text or table, those that do not), as they are written."""
    inside = [number for passage in sources_of(figure).inside for number in passage.numbers]
    stand = {number: is_borne_out(number, inside) for number in find_numbers(claim.text)}
    return tuple(one.text for one, there in stand.items() if there), tuple(
        one.text for one, there in stand.items() if not there
    )
