"""The text in a figure as a model reads it: lines with roles and boxes in, one compact paragraph out.

`rank` says which lines are worth most, so that a token budget drops the others; `write` keeps the figure's own order.
"""

from collections.abc import Callable, Iterable, Sequence

from llava_graph.record import OcrLine

OCR_STYLES = ("boxes", "words")
"""boxes: grouped by role, with places in per cent of the figure. words: the bare texts, as our first models were trained."""

NAMED = ("title", "x-axis", "y-axis", "legend")
"""Roles that are written before the text."""
TICKS = ("x-tick", "y-tick", "tick")
ORDER = ("title", "x-axis", "x-tick", "y-axis", "y-tick", "tick", "legend", "panel", "annotation", "other")
"""Roles in the order in which the boxes style writes them."""
UNSURE = 0.6
"""Confidence below which a line is worth less than any sure one: such lines are misread more often than not."""


def distinct(lines: Iterable[OcrLine]) -> list[OcrLine]:
    """Lines without those that say nothing new: the same text in the same role and panel. Ticks of two axes both stay."""
    seen: dict[tuple[str, str, str], OcrLine] = {}
    for line in lines:
        text = " ".join(line.text.split())
        if text:
            seen.setdefault((text, line.role, line.panel), line)
    return list(seen.values())


def rank(lines: Sequence[OcrLine]) -> list[OcrLine]:
    """The lines, the most useful first: names of axes and curves, other words, ends of scales, then what stands between.

    A tick between two others can be guessed from them, so that every halving of a scale loses every second one.
    """
    depth = {
        id(line): level for group in _scales(lines) for line, level in zip(group, _levels(len(group)), strict=True)
    }

    def worth(line: OcrLine) -> tuple[bool, int, int, float]:
        unsure = line.confidence < UNSURE
        if line.role in NAMED:
            return unsure, 0, NAMED.index(line.role), -line.confidence
        if line.role in TICKS:
            return unsure, 2, depth[id(line)], 0.0
        return unsure, 1, 0, -line.confidence

    return sorted(lines, key=worth)


def _scales(lines: Sequence[OcrLine]) -> Iterable[list[OcrLine]]:
    """The ticks of each scale, in the order in which they stand on it."""
    scales: dict[tuple[str, str], list[OcrLine]] = {}
    for line in lines:
        if line.role in TICKS:
            scales.setdefault((line.panel, line.role), []).append(line)
    for (_, role), scale in scales.items():
        yield sorted(scale, key=lambda line: line.box[1] if role == "y-tick" else line.box[0])


def _levels(count: int) -> list[int]:
    """How soon each of `count` ticks may go: 0 the two ends, 1 the middle, 2 the quarters, …"""
    levels = [0] * count
    spans = [(0, count - 1)]
    level = 1
    while spans:
        halves = []
        for low, high in spans:
            if high - low > 1:
                middle = (low + high) // 2
                levels[middle] = level
                halves += [(low, middle), (middle, high)]
        spans, level = halves, level + 1
    return levels


def write(lines: Sequence[OcrLine], style: str) -> str:
    """The lines as the prompt shows them, in the figure's own order. `style`: see OCR_STYLES."""
    return _STYLES[style](lines)


def write_words(lines: Sequence[OcrLine]) -> str:
    """`x-axis: epoch | baseline | 0 | 50 | 100`: named roles, other words, ticks."""
    named = [f"{line.role}: {line.text}" for line in lines if line.role in NAMED]
    other = [line.text for line in lines if line.role not in (*NAMED, *TICKS)]
    ticks = [line.text for line in lines if line.role in TICKS]
    return " | ".join(dict.fromkeys(text.strip() for text in (*named, *other, *ticks)))


def write_boxes(lines: Sequence[OcrLine]) -> str:
    """One line a role, panel by panel; places in per cent of the figure's width and height from the top left.

        x-axis: epoch [44 95 56 99]
        x-tick: 0 [12], 50 [50], 100 [88]
        y-tick: 0.2 [81], 0.8 [10]
        legend: baseline [70 10 84 14]; ours [70 15 80 19]

    A tick of the x-axis has its middle across, one of the y-axis its middle down, everything else its box x0 y0 x1 y1.
    """
    written = []
    for panel in dict.fromkeys(["", *sorted({line.panel for line in lines})]):
        for role in ORDER:
            mine = [line for line in lines if line.panel == panel and line.role == role]
            if role in TICKS:
                mine.sort(key=lambda line: -line.box[1] if role == "y-tick" else line.box[0])
            if mine:
                name = f"({panel}) {role}" if panel else role
                texts = (", " if role in TICKS else "; ").join(
                    f"{_flat(line.text)} [{written_place(line)}]" for line in mine
                )
                written.append(f"{name}: {texts}")
    return "\n".join(written)


def written_place(line: OcrLine) -> str:
    """Where a line stands, as `write_boxes` tells it."""
    x0, y0, x1, y1 = line.box
    if line.role == "x-tick":
        return f"{50 * (x0 + x1):.0f}"
    if line.role == "y-tick":
        return f"{50 * (y0 + y1):.0f}"
    return " ".join(f"{100 * value:.0f}" for value in line.box)


def _flat(text: str) -> str:
    return " ".join(text.split())


_STYLES: dict[str, Callable[[Sequence[OcrLine]], str]] = {"boxes": write_boxes, "words": write_words}
