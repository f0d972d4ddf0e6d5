"""Characters of a page one by one -> words. Pure; knows gaps, fonts and directions, not pdfium."""

import math

from scicap_builder.pdf.page import Frame, Rect, Word

WORD_GAP = 0.13
"""em between the advance boxes of two characters from which on they are two words. TeX's tightest word space is 0.2 em, kerning
and letter-spacing stay below 0.1 em."""
FONT_CHANGE_GAP = 0.1
"""em; the same between two fonts, where italics lean over the space. Raised and lowered letters stand closer."""
SLANTED_STEP = 1.05
"""em between the centers of two letters of a slanted word; an m is 0.9 em wide."""


class Style:
    """Font, size and direction of one text object, and whether it shows."""

    __slots__ = ("angle", "big_signs", "font", "gap", "hidden", "size", "slanted", "source", "white")

    def __init__(self, source: int, font: str, size: float, angle: int, *, hidden: bool, white: bool) -> None:
        self.source, self.font, self.size, self.angle, self.hidden = source, font, size, angle, hidden
        self.white = white
        self.slanted = False
        """It runs neither along the page nor up or down: slanted tick labels."""
        self.big_signs = False
        """Its font is TeX's for big signs of formulas."""
        self.gap = WORD_GAP * max(size, 1.0)


NO_STYLE = Style(0, "", 0.0, 0, hidden=False, white=False)


class WordBuilder:
    """Characters one by one -> words, parted by spaces, gaps, and changes of font, size, direction or line."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._plain = frame.rotation == 0
        self._words: list[Word] = []
        self._letters: list[str] = []
        self._box = [0.0, 0.0, 0.0, 0.0]
        self._last: Rect = (0.0, 0.0, 0.0, 0.0)
        self._style = NO_STYLE
        self._glued = False
        self._spaced = True
        self.origin = (0.0, 0.0)
        """Where the baseline of the word begins, in PDF user space."""

    def space(self) -> None:
        self._spaced = True

    def add(self, letter: str, x0: float, y0: float, x1: float, y1: float, style: Style) -> bool:  # noqa: PLR0917
        """Take one character with its box in PDF user space; True if it begins a word, whose `origin` is to be set then."""
        box = self._box
        same_run = style is self._style and self._plain and style.angle == 0 and not self._spaced and not style.slanted
        if same_run and box[1] == y0 and box[3] == y1 and x0 >= box[0] and x0 - box[2] < style.gap:
            # nearly every character; `_near` would say the same, slower
            self._letters.append(letter)
            if x1 > box[2]:  # noqa: PLR1730  (a call of max for every character costs as much as all the rest here)
                box[2] = x1
            return False
        near = bool(self._letters) and not self._spaced and self._near((x0, y0, x1, y1), style)
        self._last = (x0, y0, x1, y1)
        if near and style.font == self._style.font and abs(style.size - self._style.size) < 0.1:
            self._letters.append(letter)
            self._box = [min(box[0], x0), min(box[1], y0), max(box[2], x1), max(box[3], y1)]
            return False
        self._close()
        self._glued = near
        self._letters = [letter]
        self._box = [x0, y0, x1, y1]
        self._style = style
        self._spaced = False
        return True

    def _near(self, place: Rect, style: Style) -> bool:
        """Whether a character follows the word at once, on the same line (or raised or lowered against it)."""
        (x0, y0, x1, y1), box, last = place, self._box, self._style
        if style.angle != last.angle:
            return False
        size = max(style.size, last.size, 1.0)
        if style.slanted:
            across = (x0 + x1 - self._last[0] - self._last[2]) / 2
            return math.hypot(across, (y0 + y1 - self._last[1] - self._last[3]) / 2) < SLANTED_STEP * size
        if (style.angle + self._frame.rotation) % 180 == 0:
            overlap = min(y1, box[3]) - max(y0, box[1])
            gap = x0 - box[2] if (style.angle + self._frame.rotation) % 360 == 0 else box[0] - x1
            inside = x0 >= box[0] - 0.1 and x1 <= box[2] + 0.1
        else:
            overlap = min(x1, box[2]) - max(x0, box[0])
            gap = y0 - box[3] if (style.angle + self._frame.rotation) % 360 == 90 else box[1] - y1
            inside = y0 >= box[1] - 0.1 and y1 <= box[3] + 0.1
        # the letters of a ligature all have the box of the ligature: `inside`
        limit = WORD_GAP if style.font == last.font else FONT_CHANGE_GAP
        # some fonts give a hyphen a box without height
        return (-0.6 * size < gap < limit * size or inside) and overlap > min(0.2 * size, 0.5 * min(x1 - x0, y1 - y0))

    def _close(self) -> None:
        if not self._letters:
            return
        box = self._frame.box(*self._box)
        style = self._style
        x, y, _, _ = self._frame.box(*self.origin, *self.origin)
        baseline = y if style.angle % 180 == 0 else x
        text = "".join(self._letters)
        about = (self._glued, len(self._words), style.white, style.slanted)
        self._words.append(Word(text, box, style.size, style.font, baseline, style.angle, *about))
        self._letters = []

    def done(self) -> list[Word]:
        self._close()
        return self._words
