"""Characters of a page one by one -> words. Pure; knows gaps, fonts and directions, not pdfium."""

from scicap_builder.pdf.page import Frame, Rect, Word

WORD_GAP = 0.13
"""em between the advance boxes of two characters from which on they are two words. TeX's tightest word space is 0.2 em, kerning
and letter-spacing stay below 0.1 em."""
FONT_CHANGE_GAP = 0.1
"""em; the same between two fonts, where italics lean over the space. Raised and lowered letters stand closer."""


class Style:
    """Font, size and direction of one text object, and whether it shows."""

    __slots__ = ("angle", "font", "hidden", "size", "source", "white")

    def __init__(self, source: int, font: str, size: float, angle: int, *, hidden: bool, white: bool) -> None:
        self.source, self.font, self.size, self.angle, self.hidden = source, font, size, angle, hidden
        self.white = white


NO_STYLE = Style(0, "", 0.0, 0, hidden=False, white=False)


class WordBuilder:
    """Characters one by one -> words, parted by spaces, gaps, and changes of font, size, direction or line."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._words: list[Word] = []
        self._letters: list[str] = []
        self._box = [0.0, 0.0, 0.0, 0.0]
        self._style = NO_STYLE
        self._glued = False
        self._spaced = True
        self.origin = (0.0, 0.0)
        """Where the baseline of the word begins, in PDF user space."""

    def space(self) -> None:
        self._spaced = True

    def add(self, letter: str, place: Rect, style: Style) -> bool:
        """Take one character; True if it begins a word, whose `origin` is to be set then."""
        box = self._box
        if self._letters and not self._spaced:
            last = self._style
            near = self._near(place, style)
            same = near and style.font == last.font and abs(style.size - last.size) < 0.1
            if same:
                self._letters.append(letter)
                box[0], box[1] = min(box[0], place[0]), min(box[1], place[1])
                box[2], box[3] = max(box[2], place[2]), max(box[3], place[3])
                return False
            self._close()
            self._glued = near
        else:
            self._close()
            self._glued = False
        self._letters = [letter]
        self._box = list(place)
        self._style = style
        self._spaced = False
        return True

    def _near(self, place: Rect, style: Style) -> bool:
        """Whether a character follows the word at once, on the same line (or raised or lowered against it)."""
        (x0, y0, x1, y1), box, last = place, self._box, self._style
        if style.angle != last.angle:
            return False
        size = max(style.size, last.size, 1.0)
        if (style.angle + self._frame.rotation) % 180 == 0:
            overlap = min(y1, box[3]) - max(y0, box[1])
            gap = x0 - box[2] if (style.angle + self._frame.rotation) % 360 == 0 else box[0] - x1
        else:
            overlap = min(x1, box[2]) - max(x0, box[0])
            gap = y0 - box[3] if (style.angle + self._frame.rotation) % 360 == 90 else box[1] - y1
        # the letters of a ligature all have the box of the ligature
        inside = x0 >= box[0] - 0.1 and x1 <= box[2] + 0.1
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
        self._words.append(
            Word(text, box, style.size, style.font, baseline, style.angle, self._glued, len(self._words), style.white)
        )
        self._letters = []

    def done(self) -> list[Word]:
        self._close()
        return self._words
