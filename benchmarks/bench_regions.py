"""Whether a region of a figure is better read by itself: `python -m benchmarks.bench_regions [--papers DIR] [--dpi 75,110,150]`.

Figures: the vector figures of real papers beside the checkout, whose words are known exactly. Of each figure the four
quarters are read twice: as lines of the whole figure, and by themselves in their own pixels, put together as the page does
(`serve.web.figure.regions`). The words of a quarter that were found, by the median height of the lines in it.
"""

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from benchmarks.bench_ocr import score_figure
from benchmarks.true_text import TrueText, VectorFigure, paper_figures, scaled
from llava_graph.images import encode_png
from llava_graph.record import Box, Figure
from llava_graph.region import pixel_box
from ocr import read_text
from serve.web.figure.regions import Region, cut_out, letters_px, lines_inside, read_region

PAPERS = Path(os.environ.get("LLAVA_GRAPH_PAPERS", "../shared/papers"))
QUARTERS: tuple[Box, ...] = ((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))
BINS = (8.0, 10.0, 13.0, 16.0, 24.0, 1e9)
"""px: upper ends of the bins of line heights."""
Found = tuple[int, int, int]
"""words of a quarter, those found in the whole, those found by itself"""


def quarters(figure: VectorFigure, dpi: float) -> Iterator[tuple[float, Found]]:
    """(median height of lines in px, words found) of each quarter that has words and lines."""
    image = figure.rasterize(dpi)
    record = Figure(
        id=figure.name, image=encode_png(image), width=image.width, height=image.height, ocr=read_text(image)
    )
    for box in QUARTERS:
        inside, words = lines_inside(record, box), _moved(scaled(figure.words, dpi), pixel_box(box, image.size))
        if not inside or not words:
            continue
        region = Region("A", box)
        again = read_region(record, region, read_text)
        left, top, right, bottom = pixel_box(box, image.size)
        size = right - left, bottom - top
        before, after = (
            score_figure(words, cut_out(record, region, read=record, again=lines).figure.ocr, size).words_read
            for lines in (None, again)
        )
        yield statistics.median(letters_px(line, record) for line in inside), (len(words), before, after)


def _moved(words: Sequence[TrueText], box: tuple[int, int, int, int]) -> list[TrueText]:
    """The words whose middle lies in the box, in px of the box."""
    left, top, right, bottom = box
    return [
        TrueText(word.text, (word.box[0] - left, word.box[1] - top, word.box[2] - left, word.box[3] - top), word.angle)
        for word in words
        if left <= (word.box[0] + word.box[2]) / 2 < right and top <= (word.box[1] + word.box[3]) / 2 < bottom
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table: a row for each bin of line heights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=Path, default=PAPERS)
    parser.add_argument("--dpi", default="75,110,150")
    parser.add_argument("--limit", type=int, default=0, help="At most so many figures; 0: all.")
    options = parser.parse_args(argv)
    if not (options.papers / "figures").is_dir():
        sys.exit(f"no papers at {options.papers}: --papers or LLAVA_GRAPH_PAPERS names the folder")
    figures = list(paper_figures(options.papers))[: options.limit or None]
    bins: dict[float, list[Found]] = defaultdict(list)
    for figure, dpi in product(figures, (float(dpi) for dpi in options.dpi.split(","))):
        for height, found in quarters(figure, dpi):
            bins[next(end for end in BINS if height < end)].append(found)
    print("| lines under px | quarters | words | found in the whole | found by itself |\n|---|---|---|---|---|")
    for end, found in sorted(bins.items()):
        words, before, after = (sum(column) for column in zip(*found, strict=True))
        print(f"| {end:g} | {len(found)} | {words} | {before / words:.1%} | {after / words:.1%} |", flush=True)


if __name__ == "__main__":
    main()
