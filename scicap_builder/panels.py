"""The caption of a compound figure -> its panels' letters and captions. Pure functions, for every route."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from llava_graph.record import Panel

MIN_PANELS = 2
"""One letter alone parts nothing."""
MAX_GROUP = 26
SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[A-Z0-9(])")
JOINTS = re.compile(r"^[\s,;:.\-–—|]+|[\s,;:\-–—|]+$")
FILLER = re.compile(r"^(?:and|or|while|whereas)\s|(?:^|(?<=[\s,;]))(?:and|or|while|whereas|panels?|parts?)\s*$", re.I)
"""What joins the words of two panels and belongs to neither."""
CITED_BEFORE = re.compile(
    r"(?:\b(?:figs?|figures?|eqs?)\.?\s*(?:[A-Z]?\.?\d+)?|\b(?:see|cf|from|than|as|to|both)\.?|\d(?!\s)|\b(?:in|of|with)\s+panels?)"
    r"[\s~]*$",
    re.I,
)
"""What stands before a letter that only points at a panel: "Fig. 2(a)", "same as (a)", "from (b) to"."""
TRAILING_AFTER = re.compile(r"\s*(?:$|[,.;:)]|(?:and|or|with|versus|vs\.?|to)\b)")
"""What follows a letter that closes its panel's words: "before (a) and after (b)"."""

_LETTER = r"(?:[A-Za-z])(?:[1-9](?!\d))?"
_JOIN = r"\s*(?:,?\s*(?:and|&|to)\b\s*|,|/|[-–—−])\s*"
_GROUP = rf"{_LETTER}(?:{_JOIN}{_LETTER})*"
_BRACKETED = rf"[(\[]\s*{_GROUP}\s*(?:[,;:]\s*[^()\[\]]{{3,30}})?[)\]]"
FORMS = (
    re.compile(rf"(?<![\w(]){_BRACKETED}(?:(?:{_JOIN}){_BRACKETED})*(?!\w)"),
    re.compile(rf"(?:(?<=^)|(?<=[\s,;]))(?:panels?\s+)?(?P<bare>{_GROUP})\)(?=\s)", re.I),
    re.compile(rf"(?:^|(?<=[.;:,]\s)|(?<=\n))(?:Panels?\s+)?(?P<bare>{_GROUP})\s?(?:[:.]|\s[-–—])(?=\s)"),
    re.compile(rf"(?:^|(?<=[.;]\s))(?P<bare>{_GROUP}),(?=\s)"),
    re.compile(rf"(?:^|(?<=[.;,]\s))(?:Panels?\s+)?(?P<bare>{_GROUP})(?=\s[A-Z0-9])"),
)
"""How panels are marked, surest first: "(a)", "a)", "A." or "A -", "a,", "a Growth of …".
Only brackets may stand within a sentence."""


class Mark(NamedTuple):
    """One place in a caption that names panels."""

    start: int
    end: int
    letters: tuple[str, ...]
    trailing: bool
    """The panel's words stand before the letter."""


def split_caption(caption: str) -> tuple[Panel, ...]:
    """The panels that a caption (without its label) tells of, in their order, each with its own part; no boxes.

    "(A–C)" and "(a, b)" give every letter the same part. Letters that do not run from a on, one letter alone and numbered
    lists ("(1) … (2) …") give nothing. Letters in capitals and small ones are different forms; the longer run wins.
    """
    best: list[tuple[Mark, ...]] = []
    for form in FORMS:
        marks = list(_marks(caption, form))
        runs = [_run([mark for mark in marks if mark.letters[0].isupper() == upper]) for upper in (False, True)]
        best = [run for run in runs if sum(len(mark.letters) for mark in run) >= MIN_PANELS]
        if best:
            break
    if not best:
        return ()
    run = max(best, key=lambda marks: sum(len(mark.letters) for mark in marks))
    return tuple(sorted(_panels(caption, run), key=lambda panel: letter_order(panel.letter)))


def letter_order(letter: str) -> tuple[str, str]:
    return letter[:1].lower(), letter[1:]


def _marks(caption: str, form: re.Pattern[str]) -> Iterator[Mark]:
    bracketed = form is FORMS[0]
    for match in form.finditer(caption):
        if bracketed and CITED_BEFORE.search(caption[max(0, match.start() - 16) : match.start()]):
            continue
        letters = _letters(match[0] if bracketed else match["bare"])
        if letters:
            trailing = bracketed and bool(match.start()) and bool(TRAILING_AFTER.match(caption, match.end()))
            yield Mark(match.start(), match.end(), letters, trailing)


def _letters(group: str) -> tuple[str, ...]:
    """ "(A–C), (e)" -> A, B, C, e. Nothing if a range runs backwards or cases are mixed."""
    found: list[str] = []
    group = re.sub(r"[,;:]\s*(?!(?:and|to)\b)[^()\[\]]{3,30}(?=[)\]])", "", group) if "(" in group else group
    parts = re.findall(rf"(?<![A-Za-z]){_LETTER}(?![A-Za-z])|[-–—−]|\bto\b", group)
    spanning = False
    for part in parts:
        if part in "-–—−" or part == "to":
            spanning = bool(found)
            continue
        if spanning and len(part) == len(found[-1]) == 1:
            first, last = ord(found[-1]), ord(part)
            if not 0 < last - first < MAX_GROUP:
                return ()
            found += [chr(code) for code in range(first + 1, last)]
        found.append(part)
        spanning = False
    same_case = len({letter[0].isupper() for letter in found}) == 1
    return tuple(dict.fromkeys(found)) if same_case else ()


def _run(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """The first mark of each letter, as long as the letters run on from a without a gap."""
    seen: set[str] = set()
    kept = []
    for mark in marks:
        fresh = tuple(letter for letter in mark.letters if letter not in seen)
        if fresh and len(fresh) == len(mark.letters):
            kept.append(mark)
            seen.update(fresh)
    reach = 0
    firsts = {letter[0].lower() for letter in seen}
    while chr(ord("a") + reach) in firsts:
        reach += 1
    limit = chr(ord("a") + reach)
    return tuple(mark for mark in kept if all(letter[0].lower() < limit for letter in mark.letters))


def _panels(caption: str, run: Sequence[Mark]) -> Iterator[Panel]:
    parts = _before(caption, run) if _closing(run) else _after(caption, run)
    for mark, part in zip(run, parts, strict=True):
        text = JOINTS.sub("", part)
        while (stripped := JOINTS.sub("", FILLER.sub("", text))) != text:
            text = stripped
        for letter in mark.letters:
            yield Panel(letter=letter, caption=text)


def _closing(run: Sequence[Mark]) -> bool:
    """Whether the letters stand behind their words: most of them, the first among them."""
    return run[0].trailing and 2 * sum(mark.trailing for mark in run) >= len(run)


def _before(caption: str, run: Sequence[Mark]) -> list[str]:
    parts = []
    last = 0
    for mark in run:
        part = caption[last : mark.start]
        ends = [match.end() for match in SENTENCE_END.finditer(part)]
        parts.append(part[ends[-1] :] if ends else part)
        last = mark.end
    return parts


def _after(caption: str, run: Sequence[Mark]) -> list[str]:
    """The words from each letter to the next; the last part of a list within one sentence ends with the sentence."""
    parts = [caption[a.end : b.start] for a, b in pairwise(run)]
    last = caption[run[-1].end :]
    end = SENTENCE_END.search(last)
    if end and not any(SENTENCE_END.search(f"{part} A") for part in parts):
        last = last[: end.end()]
    return [*parts, last]
