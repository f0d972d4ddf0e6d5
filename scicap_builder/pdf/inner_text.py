"""The words inside a picture -> the lines of text that a reader sees in it, with boxes in 0..1 of the picture. Pure functions."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from llava_graph.record import OcrLine
from scicap_builder.pdf.boxes import bounds, center
from scicap_builder.pdf.lines import LIGATURES, drawn_once
from scicap_builder.pdf.page import Rect, Word, turn_box

SOURCE = "pdf"
SPACE = 0.62
"""em between two words of one label; the tick labels of an axis stand farther apart, a wide word space is 0.5 em."""
GLUED = 0.12
"""em below which two words are one."""
SMALL = 0.87
"""Size over that of the line's main words below which a raised or lowered word is a super- or subscript."""
SHIFT = 0.12
"""em of the main words by which it must be raised or lowered."""
LEVEL = 12.0
"""pt; only words whose baselines differ by less than twice this are compared, so that dense maps stay quick."""
SUPERSCRIPT = str.maketrans("0123456789+-−=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁱⁿ")
SUBSCRIPT = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


def read_labels(words: Iterable[Word], box: Rect, shows: Callable[[Rect], bool] | None = None) -> tuple[OcrLine, ...]:
    """The lines of text in `box` (pt), upright ones first, each direction from the top.

    `shows` says of text printed in white whether it stands on something dark; without it such text is left out.
    """
    inside = [word for word in words if word.size > 0.5 and _in(box, word.box)]
    inside = [word for word in inside if not word.white or (shows and shows(word.box))]
    by_angle: dict[int, list[Word]] = defaultdict(list)
    for word in inside:
        by_angle[word.angle].append(word)
    return tuple(line for angle in sorted(by_angle) for line in _lines(by_angle[angle], angle, box))


def _in(box: Rect, word: Rect) -> bool:
    x, y = center(word)
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _lines(words: Sequence[Word], angle: int, box: Rect) -> Iterator[OcrLine]:
    """Words of one direction -> lines: laid flat, joined along their baselines, their boxes turned back."""
    side = 10_000.0
    flat = drawn_once(_laid_flat(word, angle, side) for word in words)
    for run in _runs(flat):
        shown = turn_box(bounds(word.box for word in run), (360 - angle) % 360, side, side)
        yield OcrLine(text=_text(run), box=_share(shown, box), orientation=angle, source=SOURCE)


def _laid_flat(word: Word, angle: int, side: float) -> Word:
    """A word that runs up or down the page, turned so that it reads from left to right."""
    if angle == 0:
        return word
    _, y, _, _ = turn_box((word.baseline,) * 4, angle, side, side)
    # the baseline of sideways text is an x; turned, it becomes a y
    return word._replace(box=turn_box(word.box, angle, side, side), baseline=y)


def _runs(words: Sequence[Word]) -> list[list[Word]]:
    """Words that read on along one baseline; a small word raised or lowered goes with the word beside it."""
    runs = _slanted_runs(words)
    words = [word for word in words if not word.slanted]
    levels: dict[int, list[list[Word]]] = defaultdict(list)
    for word in sorted(words, key=lambda word: word.box[0]):
        level = int(word.baseline // LEVEL)
        for key in (level - 1, level, level + 1):
            levels[key] = [run for run in levels[key] if word.box[0] - run[-1].box[2] < 4 * LEVEL]
        near = [run for key in (level - 1, level, level + 1) for run in levels[key] if _reads_on(run, word)]
        if near:
            max(near, key=lambda run: run[-1].box[2]).append(word)
        else:
            runs.append([word])
            levels[level].append(runs[-1])
    return sorted(runs, key=lambda run: (round(_main(run).baseline), run[0].box[0]))


def _slanted_runs(words: Sequence[Word]) -> list[list[Word]]:
    """Slanted labels: words that the page itself glues together, in the order it draws them."""
    runs: list[list[Word]] = []
    for word in sorted((word for word in words if word.slanted), key=lambda word: word.order):
        if runs and word.glued and word.order == runs[-1][-1].order + 1:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _reads_on(run: Sequence[Word], word: Word) -> bool:
    last, main = run[-1], _main(run)
    large, small = (word, main) if word.size > main.size else (main, word)
    gap = word.box[0] - last.box[2]
    if gap < -0.35 * large.size and max(last.size, word.size) < SMALL * large.size:
        # one script above another
        gap = word.box[0] - max(
            (other.box[2] for other in run if other.size >= SMALL * large.size), default=last.box[2]
        )
    if not -0.35 * large.size < gap < SPACE * max(last.size, word.size):
        return False
    lowered = (small.baseline - large.baseline) / large.size
    if abs(lowered) < SHIFT:
        return True
    return small.size < SMALL * large.size and gap < SPACE / 2 * large.size and -0.75 < lowered < 0.4


def _main(run: Sequence[Word]) -> Word:
    """The word that sets the line: the largest, the first of them."""
    return max(run, key=lambda word: round(word.size, 1))


def _text(run: Sequence[Word]) -> str:
    main = _main(run)
    parts: list[str] = []
    for place, word in enumerate(run):
        if place:
            last = run[place - 1]
            glued = word.glued and word.order == last.order + 1
            if not glued and word.box[0] - last.box[2] > GLUED * max(word.size, last.size):
                parts.append(" ")
        parts.append(_raised(unicodedata.normalize("NFC", word.text.translate(LIGATURES)), word, main))
    return "".join(parts)


def _raised(text: str, word: Word, main: Word) -> str:
    """A super- or subscript in Unicode's own letters where it has all of them, else as it is."""
    if word.size > SMALL * main.size or word.slanted:
        return text
    shift = main.baseline - word.baseline
    if abs(shift) < SHIFT * main.size:
        return text
    table = SUPERSCRIPT if shift > 0 else SUBSCRIPT
    return text.translate(table) if all(ord(letter) in table for letter in text) else text


def _share(box: Rect, host: Rect) -> Rect:
    width, height = host[2] - host[0], host[3] - host[1]
    x0, x1 = ((value - host[0]) / width for value in (box[0], box[2]))
    y0, y1 = ((value - host[1]) / height for value in (box[1], box[3]))
    return tuple(min(1.0, max(0.0, value)) for value in (x0, y0, x1, y1))  # type: ignore[return-value]
