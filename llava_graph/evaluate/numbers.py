"""Numbers in running text, and whether others bear them out. In: an answer and what it may rest on. Out: its numbers, judged.

Of a number the value counts, not the spelling: "1,200", "1.2 × 10³" and "1.2e3" are one. Names, references and ordinals
("ResNet-50", "Figure 3", "[12]", "2nd") are no numbers.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

TOLERANCE = 0.05
"""Relative: a value read off an axis is good to some five per cent (ChartQA's relaxed accuracy)."""

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
MINUS = str.maketrans("−﹣－‑", "----")
THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[,\u00a0\u2009\u202f]\d{3})+")
POINTED = re.compile(
    r"\[\d{1,3}(?:[\s,;–-]+\d{1,3})*\]"  # a citation, or the place of a line of figure text
    r"|\b(?:fig(?:ure)?|tab(?:le)?|sec(?:tion)?|eqn?|equation|panel|appendix|ref|algorithm)s?\.?\s*"
    r"\(?\d+(?:\.\d+)*[a-z]?\b\)?(?:\s*(?:,|and|to|[–-])\s*\(?\d+[a-z]?\b\)?(?!\.\d))*",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"(?<![\w.,^])(?<!\^[+-])(?P<sign>[+-]?)[$€£]?"
    r"(?:10\s*\^\s*[({]?(?P<exponent>[+-]?\d{1,3})[)}]?"
    rf"|(?P<digits>{THOUSANDS.pattern}(?:\.\d+)?|\d+,\d+|\d+(?:\.\d+)?|\.\d+)"
    r"(?:[eE](?P<short>[+-]?\d{1,3})(?!\w)|\s*[×x·*]\s*10\s*\^?\s*[({]?(?P<power>[+-]?\d{1,3})[)}]?)?)"
    r"(?!\d|\.\d)(?P<unit>\s?(?:%|‰|per\s?cent\b))?"
    r"(?!(?:st|nd|rd|th|D|d)\b)"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it stands in a text."""

    text: str
    value: float
    percent: bool = False
    """Whether it is said in per cent: 45 % may be borne out by 0.45."""
    start: int = field(default=0, compare=False)
    """Where it stands in the text that was read, in characters."""
    end: int = field(default=0, compare=False)

    def near(self, other: "Number", tolerance: float) -> bool:
        """Whether this value lies within `tolerance` (relative to the other's) of the other one."""
        values = [(self.value, other.value)]
        if self.percent != other.percent:
            values.append((self.value / 100, other.value) if self.percent else (self.value, other.value / 100))
        return any(abs(mine - theirs) <= tolerance * abs(theirs) + 1e-12 for mine, theirs in values)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """An answer's numbers and those among them that nothing bears out."""

    numbers: tuple[Number, ...]
    unsupported: tuple[Number, ...]

    @property
    def share(self) -> float | None:
        """Supported numbers of all, 0..1; None: the answer has no number."""
        return 1 - len(self.unsupported) / len(self.numbers) if self.numbers else None


def number_fidelity(answer: str, sources: Iterable[str], tolerance: float = TOLERANCE) -> Fidelity:
    """Which numbers of `answer` are found in any of `sources` (figure text, caption, table, reference) within `tolerance`."""
    known = [number for source in sources for number in find_numbers(source)]
    found = find_numbers(answer)
    return Fidelity(found, tuple(one for one in found if not any(one.near(other, tolerance) for other in known)))


def find_numbers(text: str) -> tuple[Number, ...]:
    """The numbers of a text in its order. Of a range ("10–20") both ends; "0,5" is a half, "1,234" a thousand and more."""
    plain, places = _spelt_out(text.translate(MINUS))
    plain = re.sub(r"(?<!\d)\d+(?:,\d+){2,}", _listed, POINTED.sub(lambda pointed: ";".center(len(pointed[0])), plain))
    # Ranges, and names (ResNet-50, top-5). Every step keeps the length, so that a number's place is known.
    plain = re.sub(r"(?<=[\d%])(?:[-–—]|\s[-–—]\s)(?=\d)", lambda dash: "…".center(len(dash[0])), plain)
    plain = re.sub(r"(?<=[A-Za-z])(?<!\d[eE])-(?=\d)", "_", plain)
    return tuple(
        Number(
            " ".join(match[0].split()),
            value,
            percent=match["unit"] is not None,
            start=places(match.start()),
            end=places(match.end() - 1) + 1,
        )
        for match in NUMBER.finditer(plain)
        if (value := _value(match)) is not None
    )


def _spelt_out(text: str) -> tuple[str, Callable[[int], int]]:
    """A text with 10⁻³ written as 10^-3, and from places in it back to places in `text`."""
    runs = list(RAISED_RUN.finditer(text))
    if not runs:
        return text, lambda place: place
    begins = [run.start() + number for number, run in enumerate(runs)]

    def back(place: int) -> int:
        # One sign "^" stands before each run, and counts as the run's first character.
        before = bisect_left(begins, place)
        return place - before

    return RAISED_RUN.sub(lambda run: f"^{run[0].translate(RAISED)}", text), back


def _listed(numbers: re.Match[str]) -> str:
    """1,2,3 are three numbers, 1,234,567 is one."""
    return numbers[0] if THOUSANDS.fullmatch(numbers[0]) else numbers[0].replace(",", ";")


def _value(match: re.Match[str]) -> float | None:
    """None: too large for a float."""
    digits = match["digits"] or "1"
    if THOUSANDS.match(digits):
        digits = re.sub(r"[^\d.]", "", digits)
    power = match["exponent"] or match["short"] or match["power"] or 0
    value = float(f"{match['sign']}{digits.replace(',', '.')}e{power}")
    return value if abs(value) < float("inf") else None
