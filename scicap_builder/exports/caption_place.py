"""Where a known caption stands on its page: the page's words and the caption's text in, its box out. No I/O."""

import re
import unicodedata
from collections.abc import Sequence

from scicap_builder.pdf import Rect, Word
from scicap_builder.pdf.boxes import bounds

PROBE = 24
"""Letters of the caption's beginning and end that are looked for: LaTeX and PDF spell the formulas between them differently."""
MIN_PROBE = 6
SLACK = 1.5
"""How many times longer than the caption, in letters, the text between its beginning and its end may be."""


def find_caption(words: Sequence[Word], label: str, caption: str) -> Rect | None:
    """The caption's box in the page's own coordinates, label included; None if the page does not hold it in one piece."""
    text, owners = _letters([word.text for word in words])
    wanted, _ = _letters([label, caption])
    head, tail = wanted[:PROBE], wanted[-PROBE:]
    if len(head) < MIN_PROBE:
        return None
    for start in (match.start() for match in re.finditer(re.escape(head), text)):
        end = text.find(tail, start)
        if end >= 0 and end + len(tail) - start <= SLACK * len(wanted):
            return bounds([words[owner].box for owner in sorted(set(owners[start : end + len(tail)]))])
    return None


def _letters(parts: Sequence[str]) -> tuple[str, list[int]]:
    """The letters and digits of all parts without accents and case, and for each the part it is of."""
    letters: list[str] = []
    owners: list[int] = []
    for number, part in enumerate(parts):
        plain = [letter for letter in unicodedata.normalize("NFKD", part).casefold() if letter.isalnum()]
        letters += plain
        owners += [number] * len(plain)
    return "".join(letters), owners
