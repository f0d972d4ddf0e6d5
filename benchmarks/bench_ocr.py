"""Scores text readers on vector figures, whose text is known exactly: `python -m benchmarks ocr` or `make bench-ocr`.

    python -m benchmarks.bench_ocr [--readers plain,ours,fast] [--dpi 150] [--charts 6] [--papers DIR] [--limit N] [--misses]

Figures: the vector figures of real papers beside the checkout (left out where there are none) and charts that
matplotlib, gnuplot and R draw for this run. Every reader sees the same pixels in the same run. Scores are means over
figures, so that a figure of 900 ticks counts as one. A word is found when a line whose box holds its middle has it,
letter for letter (minus signs apart, which some figure files lose).
"""

import argparse
import os
import re
import statistics
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from rapidfuzz.distance import LCSseq

from benchmarks.drawn_charts import LIBRARIES
from benchmarks.text_readers import READERS, Reader, installed
from benchmarks.true_text import TrueText, VectorFigure, around, drawn_figure, paper_figures, scaled
from llava_graph.record import OcrLine

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers"
SEED = 20
GROWN = 0.4
"""Line heights by which a found box may miss the middle of a word."""

ALIKE = str.maketrans("∆∑∏", "ΔΣΠ")
"""Signs for operators that look as the letters do; which one a file has depends on its font's table."""

COLUMNS = (
    "reader", "dpi", "figures", "word recall", "word precision", "word F1", "char recall", "char precision", "char F1",
    "turned words", "box IoU", "roles", "s/figure", "CPU s/figure", "× plain (CPU)", "× plain (wall)",
)  # fmt: skip


@dataclass
class Score:
    """The sums of one figure."""

    words: int = 0
    words_read: int = 0
    words_given: int = 0
    turned: int = 0
    turned_read: int = 0
    chars: int = 0
    chars_read: int = 0
    chars_given: int = 0
    overlaps: list[float] = field(default_factory=list)
    roles: Counter[bool] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    complete: bool = True


def normal(text: str) -> str:
    """Compatibility forms (ligatures, superscripts, full-width) and signs that print alike unified, minus signs left out."""
    return re.sub(r"[-‐‑‒–—−]", "", unicodedata.normalize("NFKC", text).translate(ALIKE))


def score_figure(truth: Sequence[TrueText], lines: Sequence[OcrLine], size: tuple[int, int]) -> Score:
    """Words and characters of one figure. `truth`: words in px of the image of `size`."""
    width, height = size
    boxes = [(l.box[0] * width, l.box[1] * height, l.box[2] * width, l.box[3] * height) for l in lines]  # noqa: E741
    given = [Counter(normal(word) for word in line.text.split() if normal(word)) for line in lines]
    score = Score(words_given=sum(sum(words.values()) for words in given))
    held: dict[int, list[TrueText]] = defaultdict(list)
    for word in truth:
        if not normal(word.text):
            continue
        score.words += 1
        score.turned += word.turned
        x, y = (word.box[0] + word.box[2]) / 2, (word.box[1] + word.box[3]) / 2
        near = [i for i, box in enumerate(boxes) if _holds(box, x, y)]
        read = next((i for i in near if given[i][normal(word.text)]), None)
        if read is not None:
            given[read][normal(word.text)] -= 1
            score.words_read += 1
            score.turned_read += word.turned
        score.chars += len(normal(word.text))
        if near:
            held[read if read is not None else near[0]].append(word)
    for index, words in held.items():
        x0, y0, x1, y1 = boxes[index]
        upright = y1 - y0 <= 1.5 * (x1 - x0) or len(lines[index].text) < 3
        words.sort(key=lambda w: w.box[0] if upright else -w.box[1])
        found, true = (
            normal(lines[index].text).replace(" ", ""),
            "".join(normal(w.text) for w in words),
        )
        score.chars_read += LCSseq.similarity(found, true)
        score.overlaps.append(_iou(boxes[index], around([word.box for word in words])))
    score.chars_given = sum(len(normal(line.text).replace(" ", "")) for line in lines)
    return score


def _holds(box: Sequence[float], x: float, y: float) -> bool:
    reach = GROWN * min(box[2] - box[0], box[3] - box[1])
    return box[0] - reach <= x <= box[2] + reach and box[1] - reach <= y <= box[3] + reach


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / whole if whole > 0 else 0.0


def score_roles(truth: Sequence[TrueText], lines: Sequence[OcrLine], size: tuple[int, int]) -> Counter[bool]:
    """Right and wrong roles of the true lines that were found (by the middle of their box)."""
    width, height = size
    right: Counter[bool] = Counter()
    for text in truth:
        x, y = (text.box[0] + text.box[2]) / 2 / width, (text.box[1] + text.box[3]) / 2 / height
        found = [line for line in lines if line.box[0] <= x <= line.box[2] and line.box[1] <= y <= line.box[3]]
        if found:
            right[any(line.role == text.role for line in found)] += 1
    return right


def gather(papers: Path, charts: int) -> list[VectorFigure]:
    """All figures of a run."""
    figures = list(paper_figures(papers)) if (papers / "figures" / "figures.jsonl").exists() else []
    return figures + [drawn_figure(chart) for draw in LIBRARIES for chart in draw(charts, SEED)]


def measure(
    readers: dict[str, Reader], figures: Sequence[VectorFigure], dpi: float, *, misses: bool
) -> dict[str, list[Score]]:
    """One score a figure and reader, figures in their order. All readers see a figure one after the other, so that a busy
    machine slows all of them alike."""
    scores: dict[str, list[Score]] = {name: [] for name in readers}
    for figure in figures:
        image = figure.rasterize(dpi)
        for name, reader in readers.items():
            start, cpu = time.perf_counter(), _cpu()
            lines = reader(figure, image)
            seconds, used = time.perf_counter() - start, _cpu() - cpu
            score = score_figure(scaled(figure.words, dpi), lines, image.size)
            score.seconds, score.cpu, score.complete = seconds, used, figure.complete
            if any(line.role != "other" for line in lines):  # else the reader tells none
                score.roles = score_roles(scaled(figure.lines, dpi), lines, image.size)
            scores[name].append(score)
            if misses:
                print(
                    f"{figure.name} {name} {dpi:.0f}: words {score.words_read}/{score.words} given {score.words_given}, "
                    f"turned {score.turned_read}/{score.turned}, chars {score.chars_read}/{score.chars}/"
                    f"{score.chars_given}, roles {dict(score.roles)}, {used:.2f} s",
                    file=sys.stderr,
                )
    return scores


def _cpu() -> float:
    """Seconds of this process and of the programs it ran."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The mean over figures of part/whole, figures without a whole left out."""
    shares = [part / whole for part, whole in pairs if whole]
    return statistics.fmean(shares) if shares else None


def summary(scores: Sequence[Score], plain: Sequence[Score] = ()) -> list[str]:
    """The cells of a row. `plain`: the plain call's scores on the same figures."""
    word_recall = ratio([(s.words_read, s.words) for s in scores])
    # Embedded pictures show text that the file does not know: reading it is no mistake.
    known = [s for s in scores if s.complete]
    word_precision = ratio([(s.words_read, s.words_given) for s in known])
    char_recall = ratio([(s.chars_read, s.chars) for s in scores])
    char_precision = ratio([(s.chars_read, s.chars_given) for s in known])
    turned = ratio([(s.turned_read, s.turned) for s in scores])
    overlap = [statistics.fmean(s.overlaps) for s in scores if s.overlaps]
    roles = ratio([(s.roles[True], s.roles.total()) for s in scores])
    cells = [word_recall, word_precision, _f1(word_recall, word_precision), char_recall, char_precision]
    cells += [_f1(char_recall, char_precision), turned, statistics.fmean(overlap) if overlap else None, roles]
    return [
        *("–" if cell is None else f"{cell:.3f}" for cell in cells),
        f"{statistics.median(s.seconds for s in scores):.3f}",
        f"{statistics.fmean(s.cpu for s in scores):.3f}",
        _times(scores, plain, "cpu"),
        _times(scores, plain, "seconds"),
    ]


def _times(scores: Sequence[Score], plain: Sequence[Score], field_: str) -> str:
    """All the time of a reader in that of the plain call."""
    whole = sum(getattr(s, field_) for s in plain)
    return f"{sum(getattr(s, field_) for s in scores) / whole:.2f}" if whole else "–"


def _f1(recall: float | None, precision: float | None) -> float | None:
    if not recall or not precision:
        return None
    return 2 * recall * precision / (recall + precision)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one table for all figures and one by where they come from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", default="", help=f"of {', '.join(READERS)}; without it all that are installed")
    parser.add_argument("--dpi", default="100,150,200")
    parser.add_argument("--charts", type=int, default=6, help="charts a plotting library")
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--limit", type=int, default=None, help="only the first N figures of each group")
    parser.add_argument("--misses", action="store_true", help="one line a figure on stderr")
    args = parser.parse_args(argv)
    figures = gather(args.papers, args.charts)
    groups = list(dict.fromkeys(figure.group for figure in figures))
    if args.limit:
        figures = [f for group in groups for f in [g for g in figures if g.group == group][: args.limit]]
    print(
        f"{len(figures)} figures: " + ", ".join(f"{group} {sum(f.group == group for f in figures)}" for group in groups)
    )
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    readers = (
        {name: READERS[name]() for name in args.readers.split(",")}
        if args.readers
        else {name: READERS[name]() for name in installed()}
    )
    for reader in readers.values():
        reader(figures[0], figures[0].rasterize(72))
    for dpi in map(float, args.dpi.split(",")):
        scores = measure(readers, figures, dpi, misses=args.misses)
        for name, group in product(readers, ["all", *groups]):
            mine = [i for i, figure in enumerate(figures) if group in ("all", figure.group)]
            cells = summary([scores[name][i] for i in mine], [scores["plain"][i] for i in mine if "plain" in readers])
            print("| " + " | ".join([name, f"{dpi:.0f}", group, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
