"""What is found out about a sentence: frozen values, plain enough for JSON."""

from dataclasses import dataclass

SUPPORTED, PARTLY, NOT_FOUND, NO_CLAIM = "supported", "partly", "not found", "no claim"
VERDICTS = (SUPPORTED, PARTLY, NOT_FOUND, NO_CLAIM)
"""supported: its words, names and numbers stand in the text given. partly: some do. not found: it may come from the image, or
from nowhere. no claim: nothing in it could be looked for."""
SOURCES = ("caption", "paragraph", "figure text", "table")
MARKS = ("number", "name", "opposite")


@dataclass(frozen=True, slots=True)
class Support:
    """A place that bears a sentence out."""

    source: str
    """One of SOURCES."""
    index: int = 0
    """Which paragraph (`mentions`), line of text (`ocr`) or row of the table, from 0; of the table 0 is the header."""
    start: int = 0
    """Where in a caption or paragraph the sentence stands that bears it out, in characters."""
    end: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of an answer that the text given does not bear out."""

    start: int
    """In the answer, in characters."""
    end: int
    kind: str
    """number: it stands nowhere. name: neither does it. opposite: the text says `note` where the answer says this."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer and what bears it out."""

    start: int
    """In the answer, in characters."""
    end: int
    text: str
    verdict: str
    """One of VERDICTS."""
    supports: tuple[Support, ...] = ()
    """The strongest first; in a sentence that is not supported, what comes nearest."""
    marks: tuple[Mark, ...] = ()
