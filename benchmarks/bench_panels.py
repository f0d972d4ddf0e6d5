"""Scores panels of compound figures: on figures that Matplotlib draws with known panels, and by eye on real papers.

    python benchmarks/bench_panels.py [--figures 60] [--seed 1] [--papers DIR]

Each drawn figure (1-9 panels; grids and unequal layouts; plots, images or both; letters inside, outside, below or absent) is put
into a paper of one page, as vector drawing, with a caption that tells of the panels or does not. Printed: figures whose letters
are all right, panels with the right box (IoU >= .8), wrong boxes, and figures wrongly parted or joined. With --papers, the real
papers' captions (DIR/gold/*.json) say which figures are compound: how often the reading of the PDF agrees.
"""

import argparse
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scicap_builder.panels import split_caption
from scicap_builder.pdf import read_pdf
from scicap_builder.reading import FoundFigure

Box = tuple[float, float, float, float]
LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("a",),
    ("ab",),
    ("a", "b"),
    ("abc",),
    ("ab", "cd"),
    ("aa", "bc"),
    ("ab", "cb"),
    ("aab", "cdd"),
    ("abc", "def"),
    ("abc", "def", "ghi"),
)
PLACES = ("outside", "inside", "below", "none")
STYLES = ("({})", "{}", "{})")
PAGE = (8.27, 11.69)
"""inch"""
IOU = 0.8


def draw(path: Path, rng: random.Random) -> tuple[list[tuple[str, Box]], str]:
    """One paper of one page; returns letters with their boxes (pt from the top left) and the kind of figure."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    layout, place, style = rng.choice(LAYOUTS), rng.choice(PLACES), rng.choice(STYLES)
    letters = sorted(set("".join(layout)))
    upper, told = rng.random() < 0.4, rng.random() < 0.8 or place == "none"
    figure = plt.figure(figsize=PAGE)
    top, left, right = 0.84, 0.12, 0.9
    bottom = top - rng.uniform(0.14, 0.2) * len(layout)
    grid = figure.add_gridspec(
        len(layout), len(layout[0]), left=left, right=right, top=top, bottom=bottom,
        wspace=rng.uniform(0.3, 0.5), hspace=rng.uniform(0.45, 0.7) + 0.3 * (place == "below"),
    )  # fmt: skip
    artists: list[list[Any]] = []
    for letter in letters:
        rows = [i for i, row in enumerate(layout) if letter in row]
        columns = [j for row in layout for j, entry in enumerate(row) if entry == letter]
        axes = figure.add_subplot(grid[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1])
        artists.append([axes, *fill(axes, rng)])
        name = style.format(letter.upper() if upper else letter)
        if len(letters) > 1 and place != "none":
            spots = {"outside": (-0.12, 1.06), "inside": (0.04, 0.86), "below": (0.5, -0.45)}
            x, y = spots[place]
            weight = "normal" if "(" in style and place == "below" else "bold"
            axes.text(x, y, name, transform=axes.transAxes, fontsize=9, weight=weight)
    words = "The result that is seen in Figure 1 was measured in the garden by the river every day of the year and"
    for line in range(4):
        figure.text(0.1, 0.95 - 0.018 * line, words, fontsize=9)
    caption = "Figure 1. Measured growth."
    if len(letters) > 1 and told:
        caption += "".join(f" ({letter.upper() if upper else letter}) Garden." for letter in letters)
    figure.text(left, bottom - 0.1, caption, fontsize=8)
    for line in range(12):
        figure.text(0.1, bottom - 0.15 - 0.018 * line, words, fontsize=9)
    figure.savefig(path)
    boxes = [(letter, tight(figure, parts)) for letter, parts in zip(letters, artists, strict=True)]
    plt.close(figure)
    kind = f"{place}, {'told' if told else 'not told'}" if len(letters) > 1 else "single"
    return boxes, kind


def fill(axes: Any, rng: random.Random) -> list[Any]:
    """A plot or a picture with axis titles."""
    values = np.random.default_rng(rng.randrange(10**6))
    if rng.random() < 0.3:
        axes.imshow(values.random((20, 30)), aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        return []
    if rng.random() < 0.5:
        axes.plot(values.random(20).cumsum())
    else:
        axes.bar(range(5), values.random(5))
    axes.tick_params(labelsize=6)
    axes.set_xlabel("time (s)", fontsize=7)
    axes.set_ylabel("value", fontsize=7)
    return []


def tight(figure: Any, parts: Sequence[Any]) -> Box:
    """The box of an axes with all that belongs to it, pt from the top left."""
    box = parts[0].get_tightbbox(figure.canvas.get_renderer())
    scale = 72 / figure.dpi
    height = PAGE[1] * 72
    return box.x0 * scale, height - box.y1 * scale, box.x1 * scale, height - box.y0 * scale


def on_page(figure: FoundFigure, box: Box) -> Box:
    """0..1 of the picture -> pt of the page."""
    assert figure.box is not None
    x0, y0, x1, y1 = (share * side * 72 for share, side in zip(figure.box, (*PAGE, *PAGE), strict=True))
    return x0 + box[0] * (x1 - x0), y0 + box[1] * (y1 - y0), x0 + box[2] * (x1 - x0), y0 + box[3] * (y1 - y0)


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    common = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(sizes) - common)


def score_drawn(count: int, seed: int) -> dict[str, Counter[str]]:
    """Counts by kind of figure."""
    rng = random.Random(seed)
    totals: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            path = Path(folder) / "paper.pdf"
            truth, kind = draw(path, rng)
            score = totals.setdefault(kind, Counter())
            score["figures"] += 1
            figures = read_pdf(path).figures
            if not figures:
                continue
            found = {panel.letter.lower(): panel for panel in figures[0].panels}
            want = [letter for letter, _ in truth] if len(truth) > 1 else []
            score["letters"] += list(found) == want
            for letter, box in truth if len(truth) > 1 else []:
                score["panels"] += 1
                panel = found.get(letter)
                if panel and panel.box:
                    right = iou(on_page(figures[0], panel.box), box) >= IOU
                    score["right"] += right
                    score["wrong"] += not right
    return totals


def agreement(papers: Path) -> Counter[str]:
    """How often the PDF's panels are those that the true caption tells of."""
    counts: Counter[str] = Counter()
    for gold in sorted((papers / "gold").glob("*.json")):
        truth = {entry["number"]: entry["caption"] for entry in json.loads(gold.read_text())["figures"]}
        for figure in read_pdf(papers / "dev" / gold.stem / "paper.pdf").figures:
            if figure.number in truth:
                told = [panel.letter for panel in split_caption(truth[figure.number] or "")]
                mine = [panel.letter for panel in figure.panels]
                counts["figures"] += 1
                counts["compound"] += bool(told)
                counts["same letters"] += bool(told) and told == mine
                counts["boxes"] += bool(told) and told == mine and all(panel.box for panel in figure.panels)
                counts["only in the PDF"] += bool(mine) and not told
    return counts


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--papers", type=Path, default=None)
    args = parser.parse_args(argv)
    print("| letters in the picture, caption | figures | letters right | panels | box right | box wrong | no box |")
    print("|---" * 7 + "|")
    totals = score_drawn(args.figures, args.seed)
    totals["all"] = sum(totals.values(), Counter())
    for kind, n in sorted(totals.items(), key=lambda item: (item[0] == "all", item[0])):
        none = n["panels"] - n["right"] - n["wrong"]
        print(f"| {kind} | {n['figures']} | {n['letters']} | {n['panels']} | {n['right']} | {n['wrong']} | {none} |")
    if args.papers:
        print(dict(agreement(args.papers)))


if __name__ == "__main__":
    main()
