"""What stands on one page: words and drawn things with their boxes. Plain frozen values, no I/O.

All boxes are (x0, y0, x1, y1) in points (1/72 inch) from the top left corner of the page as it is read: if most of its text
runs sideways the page is turned first (`turn`), so that text is upright for everything that follows.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scicap_builder.mentions import parse_label

Rect = tuple[float, float, float, float]

SIDEWAYS_SHARE = 0.6
"""Share of a page's characters that must run the same sideways direction for the page to be turned."""
MAX_UPRIGHT = 1500
"""Upright letters (running heads, labels) of a page that is turned for its sideways caption; a page of prose has more."""


class Word(NamedTuple):
    """A piece of text without a space, in one font and size."""

    text: str
    box: Rect
    size: float
    """Height of the font in pt, after all scaling."""
    font: str
    baseline: float
    """y of the baseline (x of it when the word runs up or down the page)."""
    angle: int
    """Degrees counter-clockwise that the text is turned: 0, 90, 180 or 270."""
    glued: bool
    """No space stands between this word and the one before it (a superscript, a change of font within a word)."""
    order: int
    """Place in the page's content stream."""
    white: bool = False
    """Printed in white: unseen on paper (old journals draw captions a second time so), a label on a dark picture."""
    slanted: bool = False
    """It runs between the quarter turns; `angle` is the nearest of them."""


class Graphic(NamedTuple):
    """Something drawn that is not text."""

    box: Rect
    kind: str
    """ "image", "form" (an included drawing), "path" or "shading"."""


@dataclass(frozen=True, slots=True)
class Page:
    """The content of one page."""

    number: int
    """Counted from 1."""
    width: float
    height: float
    turn: int
    """Degrees clockwise by which the page as shown was turned to make its text upright: 0, 90, 180 or 270."""
    words: tuple[Word, ...]
    graphics: tuple[Graphic, ...]
    truncated: bool = False
    """The page holds more than our limits allow and was read in part."""


@lru_cache(maxsize=4096)
def is_bold(font: str) -> bool:
    """Whether a font's name says bold: "NimbusRomNo9L-Medi", "CMBX10", "ABCDEF+Arial,Bold"."""
    name = font.rpartition("+")[2].lower()
    return any(
        mark in name
        for mark in ("bold", "black", "heavy", "demi", "cmb10", "cmbx", "cmssbx", "-medi", "sfbx", "-bd", ".b")
    ) or name.endswith(("-b", "bd"))


def turn_box(box: Rect, turn: int, width: float, height: float) -> Rect:
    """A box on a page of `width` x `height` after the page is turned clockwise by `turn` degrees."""
    x0, y0, x1, y1 = box
    if turn == 90:
        return height - y1, x0, height - y0, x1
    if turn == 180:
        return width - x1, height - y1, width - x0, height - y0
    if turn == 270:
        return y0, width - x1, y1, width - x0
    return box


def shown_box(box: Rect, page: Page) -> Rect:
    """A box of `page` -> the same box as a share (0..1) of the page as shown, origin top left."""
    x0, y0, x1, y1 = turn_box(box, (360 - page.turn) % 360, page.width, page.height)
    width, height = (page.height, page.width) if page.turn in (90, 270) else (page.width, page.height)
    shares = (x0 / width, y0 / height, x1 / width, y1 / height)
    return tuple(min(1.0, max(0.0, share)) for share in shares)  # type: ignore[return-value]


class Frame:
    """From PDF user space (origin bottom left, unturned) to the page as shown (origin top left)."""

    def __init__(self, left: float, bottom: float, width: float, height: float, rotation: int) -> None:
        self.left, self.bottom, self.width, self.height, self.rotation = left, bottom, width, height, rotation

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Rect:
        """User space (left, bottom, right, top) -> shown box."""
        plain = (x0 - self.left, self.height - (y1 - self.bottom), x1 - self.left, self.height - (y0 - self.bottom))
        return turn_box(plain, self.rotation, self.width, self.height)


def upright(
    number: int, shown: tuple[float, float], words: list[Word], graphics: list[Graphic], truncated: bool
) -> Page:
    """Turn the page if most of its text runs sideways."""
    width, height = shown
    letters: Counter[int] = Counter()
    for word in words:
        letters[word.angle] += len(word.text)
    turn = _direction(words, letters) if letters and set(letters) != {0} else 0
    if turn:
        words = [_turned(word, turn, width, height) for word in words]
        graphics = [Graphic(turn_box(g.box, turn, width, height), g.kind) for g in graphics]
        if turn in (90, 270):
            width, height = height, width
    return Page(number, width, height, turn, tuple(words), tuple(graphics), truncated)


def _direction(words: list[Word], letters: Counter[int]) -> int:
    """The angle of the text that a page is read by: that of its captions, else that of most of its letters."""
    angle, count = letters.most_common(1)[0]
    captions = {word.angle for last, word, after in _neighbours(words) if _begins_caption(last, word, after)}
    if len(captions) == 1 and (0 in captions or letters[0] < MAX_UPRIGHT):
        return captions.pop()
    return angle if count > SIDEWAYS_SHARE * letters.total() else 0


def _neighbours(words: list[Word]) -> Iterator[tuple[Word, Word, Word]]:
    return zip([*words[:1], *words], words, [*words[1:], *words[-1:]], strict=False)


def _begins_caption(last: Word, word: Word, after: Word) -> bool:
    """Whether `word` begins a line with the label of a figure."""
    if word.text[:1] not in "Ff" or word.angle != after.angle:
        return False
    begins = last is word or last.angle != word.angle or abs(last.baseline - word.baseline) > 0.5 * word.size
    label = parse_label(f"{word.text} {after.text}") if begins else None
    return label is not None and (bool(label.separator) or not word.text[0].islower())


def _turned(word: Word, turn: int, width: float, height: float) -> Word:
    box = turn_box(word.box, turn, width, height)
    angle = (word.angle - turn) % 360
    line = (word.baseline, word.baseline, word.baseline, word.baseline)
    x, y, _, _ = turn_box(line, turn, width, height)
    return word._replace(box=box, angle=angle, baseline=y if angle % 180 == 0 else x)
