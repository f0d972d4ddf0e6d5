"""On which page of a paper each paragraph stands that cites a figure: found by its letters. Pure but for reading the PDF."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from llava_graph.record import Figure

LETTERS = 60
"""So many letters in a row stand only once in a paper."""
FEWEST = 25
"""A piece with fewer may stand anywhere."""


def mention_pages(pdf: Path, figures: Sequence[Figure]) -> dict[str, list[int]]:
    """Figure id -> the page (from 1) of each of its mentions, in their order; 0 where it was not found."""
    texts = page_texts(pdf)
    return {figure.id: [page_of(text, texts) for text in figure.mentions] for figure in figures if figure.mentions}


def page_texts(pdf: Path) -> list[str]:
    """The letters and digits of each page."""
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    try:
        return [letters(document[number].get_textpage().get_text_bounded()) for number in range(len(document))]
    except pypdfium2.PdfiumError:
        return []
    finally:
        document.close()


def page_of(paragraph: str, pages: Sequence[str]) -> int:
    """The page on which a paragraph begins. Citations and formulas are written in other ways in a source than on a page, so
    it is looked for by its pieces of plain words; 0 if none is found."""
    for piece in pieces(paragraph):
        for number, text in enumerate(pages, 1):
            if piece in text:
                return number
    return 0


def pieces(paragraph: str) -> list[str]:
    """Runs of letters of a paragraph, the first ones first."""
    plain = [letters(part) for part in re.split(r"\[cite\]|\[[\d,;–\- ]+\]|\$[^$]*\$|[^\w\s.,;:()'’\"%/–-]", paragraph)]
    return [part[:LETTERS] for part in plain if len(part) >= FEWEST]


def letters(text: str) -> str:
    """Only letters and digits, small: hyphens, ligatures and line ends do not matter."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).lower() if letter.isalnum())
