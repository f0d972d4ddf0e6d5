"""Whether a colour sample stands beside a line of text, as beside the entries of a legend. Pixels and a box in, yes or no out."""

from typing import Any

from PIL import Image

from llava_graph.record import OcrLine

REACH = 5.0
"""Text heights beside an entry in which its sample stands: matplotlib's is 2 font sizes long and 0.8 away, on the left;
gnuplot's stands on the right."""
PAPER = 24
"""Levels by which a pixel must differ from the paper to be ink."""


class Swatches:
    """Answers for the lines of one image."""

    def __init__(self, image: Image.Image) -> None:
        import numpy as np

        self._pixels: Any = np.asarray(image.convert("RGB")).astype(np.int16)

    def __call__(self, line: OcrLine) -> bool:
        """A drawn thing stands just beside the line, with paper around it: on the way to the text and at its other end."""
        height, width, _ = self._pixels.shape
        x0, y0, x1, y1 = (round(v * s) for v, s in zip(line.box, (width, height, width, height), strict=True))
        letter = max(4, y1 - y0)
        rows = self._pixels[max(0, y0 - letter // 6) : y1 + letter // 6 + 1]
        reach = round(REACH * letter)
        left = rows[:, max(0, x0 - reach) : max(0, x0 - 1)][:, ::-1]
        return any(self._sample_in(side, letter) for side in (left, rows[:, x1 + 1 : x1 + reach]))

    def _sample_in(self, strip: Any, letter: int) -> bool:
        """`strip` (rows, columns, 3) begins at the text."""
        import numpy as np

        if strip.shape[0] < 3 or strip.shape[1] < letter:
            return False
        paper = np.median(strip.reshape(-1, 3), axis=0)
        return _sample((np.abs(strip - paper).max(axis=2) > PAPER).any(axis=0), letter)


def _sample(ink: Any, letter: int) -> bool:
    """Columns with ink, from the text on: a gap, then one thing half a letter to four letters long (gaps of a dashed line
    filled), then paper again or the end of the strip after a frame's line."""
    columns = list(ink)
    gap = next((i for i, inked in enumerate(columns) if inked), None)
    if gap is None or gap > 2 * letter or gap < 1:
        return False
    end, blank = gap, 0
    for position in range(gap, len(columns)):
        if columns[position]:
            end, blank = position, 0
        else:
            blank += 1
            if blank > 0.6 * letter:
                break
    length = end - gap + 1
    ended = blank > 0.3 * letter
    return 0.3 * letter <= length <= 4.2 * letter and ended
