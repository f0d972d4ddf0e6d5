"""Figure text as a worse OCR engine would have read it: lines in, fewer and misread lines out.

A model that has only seen clean text trusts every character; one that has seen misread text checks it against the figure.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from llava_graph.record import OcrLine

LOOKALIKES = {
    "0": "Oo", "O": "0Q", "o": "0a", "1": "lI", "l": "1I", "I": "l1", "5": "S", "S": "5", "8": "B", "B": "8", "2": "Z",
    "6": "b", "9": "g", "e": "c", "c": "e", "a": "o", "n": "h", "h": "b", "u": "v", "m": "rn", "t": "f", "f": "t",
    ".": ",", ",": ".", "-": "", "−": "-", "(": "", ")": "", "%": "96", "μ": "u", "α": "a", "β": "B", "σ": "o",
}  # fmt: skip
"""Character -> what engines read instead: confusions of shape, and small signs that are lost."""
LOST_LINES = 0.5
"""Of the lines that go wrong, this share is not found at all: on dense figures engines miss more lines than they misread."""
WRONG_CHARACTERS = 0.25
"""Share of the characters of a misread line that go wrong."""


def misread(lines: Sequence[OcrLine], rate: float, rng: random.Random) -> tuple[OcrLine, ...]:
    """`lines` with a share `rate` (0..1) of them lost or misread; a misread line says so by its confidence."""
    kept: list[OcrLine] = []
    for line in lines:
        if rng.random() >= rate:
            kept.append(line)
        elif rng.random() >= LOST_LINES and (text := _misread_text(line.text, rng)):
            kept.append(replace(line, text=text, value=None, confidence=min(line.confidence, rng.uniform(0.5, 0.95))))
    return tuple(kept)


def _misread_text(text: str, rng: random.Random) -> str:
    letters = list(text)
    for index, letter in enumerate(letters):
        if rng.random() < WRONG_CHARACTERS:
            if letter == " ":
                letters[index] = ""
            elif letter in LOOKALIKES:
                letters[index] = rng.choice(LOOKALIKES[letter]) if LOOKALIKES[letter] else ""
    return "".join(letters).strip()
