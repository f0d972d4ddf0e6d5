"""Writes the example paper of the page: `python scripts/example_paper.py llava_graph/examples/example_paper.pdf`.

Its text is ours and its numbers are those of the first model in `docs/packaged_model.md`.
"""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

mpl.rcParams.update(
    {"pdf.fonttype": 42, "font.family": "serif", "font.serif": ["STIXGeneral"], "mathtext.fontset": "stix"}
)
WIDTH, HEIGHT = 8.27, 11.69
LEFT, TOP, COLUMN = 1.15, 1.05, 5.97
"""Inches: A4, one column."""
LEADING = 1.28

TITLE = "What Is Context Worth to a Tiny Figure Explainer?"
ABSTRACT = (
    "We train a model of 5.7 million parameters from scratch to explain charts, on one or two cores of a shared computer, and "
    "ask what the text around and inside a figure is worth to it. With the caption and the text in the figure it names nine "
    "of ten axes and all series of two charts in three; with the picture alone it names hardly an axis and no series. Trends "
    "are no better than guessed in any case."
)
FIRST = (
    "The model has a small vision tower, a connector and a small language model, all with random weights at the start. It "
    "learns from charts that a program draws with known data, so that what is true of a chart is known. Figure 1 shows of what "
    "kinds they are: a third are line charts, and more than a fifth are bar charts. One chart in sixteen is none at all, but "
    "a diagram or an empty image, and the right answer there is to decline."
)
SECOND = (
    "Training goes in five parts, which Figure 2 shows one after the other. First the language model alone learns to read the "
    "text that comes with a figure: its loss falls from 3.9 to 1.1 in a thousand steps. Then the images come in. When half of "
    "the names are replaced by invented ones, the loss jumps to 1.6 and falls again, because names that cannot be known by "
    "heart have to be read. At the end of Figure 2 it stands at 0.53."
)
THIRD = (
    "We then take 40 new charts and leave out the caption, the text in the figure, or both. Figure 3 gives the share of charts "
    "whose x-axis, y-axis and series are all named rightly. The text in the figure alone gives 91 per cent of the x-axes; the "
    "caption alone gives 71 per cent. With neither, the model sees only pixels: 6 per cent of the x-axes, no y-axis and no "
    "series are right. The series are the hardest part: even with caption and text together a third of the charts has a series "
    "that is missing or wrong."
)
FOURTH = (
    "Two things should be kept in mind. The bars of Figure 3 rest on 22 to 35 charts each, so that a difference of ten points "
    "may be chance. And the new charts come from the same program as those of the training, with other random numbers; charts "
    "from real papers are harder. What Figure 1 leaves out, the model has never seen."
)
CAPTIONS = (
    "Share of each kind among the charts that the program draws, in per cent.",
    "Loss per answer token during training. Each colour is one part; dashed parts are trained without images.",
    "Share of charts whose names are all right, by what the model is given. Each answer is written greedily.",
)
KINDS = {
    "line": 34,
    "bar": 22,
    "scatter": 12,
    "histogram": 10,
    "box": 8,
    "heat map": 7,
    "ROC": 4,
    "precision–recall": 3,
}
LOSS = (
    ("text only", (200, 400, 600, 800, 1000), (3.93, 1.78, 1.50, 1.29, 1.09)),
    ("with images", (100, 200, 300, 400), (1.01, 0.94, 0.88, 0.87)),
    ("text only, new names", (100, 200, 300, 400), (1.57, 1.24, 1.08, 0.97)),
    (
        "with images, new names",
        (100, 200, 300, 400, 500, 600, 700, 740),
        (0.95, 0.94, 0.87, 0.77, 0.72, 0.71, 0.68, 0.72),
    ),
    (
        "with images, more charts",
        (100, 200, 300, 400, 500, 600, 700, 800, 900, 940),
        (0.74, 0.76, 0.73, 0.69, 0.66, 0.66, 0.59, 0.57, 0.56, 0.53),
    ),
)
GIVEN = ("caption and text", "text in the figure", "caption", "picture alone")
RIGHT = {"x-axis": (91, 91, 71, 6), "y-axis": (91, 88, 73, 0), "all series": (68, 50, 59, 0)}


class Page:
    """A page that is filled from top to bottom."""

    def __init__(self) -> None:
        self.figure: Figure = plt.figure(figsize=(WIDTH, HEIGHT))
        self.y = TOP

    def text(
        self, words: str, size: float = 10.5, *, bold: bool = False, gap: float = 0.09, indent: float = 0.0
    ) -> None:
        """A paragraph, broken into lines that fit the column."""
        font = FontProperties(family="STIXGeneral", size=size, weight="bold" if bold else "normal")
        line: list[str] = []
        first = True
        for word in [*words.split(), None]:
            room = COLUMN - (indent if first else 0)
            if word is not None and (not line or _width(" ".join([*line, word]), font, size) < room):
                line.append(word)
                continue
            x = (LEFT + (indent if first else 0)) / WIDTH
            self.figure.text(x, 1 - (self.y + size / 72) / HEIGHT, " ".join(line), fontproperties=font)
            self.y += LEADING * size / 72
            line, first = [word] if word else [], False
        self.y += gap

    def plot(self, height: float, width: float = 4.9) -> plt.Axes:
        """Axes in the middle of the column."""
        x = LEFT + (COLUMN - width) / 2 + 0.35
        axes = self.figure.add_axes(
            (x / WIDTH, 1 - (self.y + 0.12 + height) / HEIGHT, (width - 0.35) / WIDTH, height / HEIGHT)
        )
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        self.y += height + 0.12
        return axes


def _width(text: str, font: FontProperties, size: float) -> float:
    """In inches."""
    return (
        text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
        / 72
        * (size / font.get_size_in_points())
    )


def kinds(page: Page) -> None:
    axes = page.plot(1.75)
    axes.barh(list(KINDS)[::-1], list(KINDS.values())[::-1], color="#0f766e")
    axes.set_xlabel("share of the charts (%)", fontsize=9)
    page.y += 0.5
    page.text(f"Figure 1: {CAPTIONS[0]}", 9, gap=0.22)


def loss(page: Page) -> None:
    axes, start = page.plot(2.15), 0
    for (name, steps, values), colour in zip(
        LOSS, ("#64748b", "#0f766e", "#a16207", "#1d4ed8", "#be185d"), strict=True
    ):
        dash = "--" if name.startswith("text") else "-"
        axes.plot([start + step for step in steps], values, dash, color=colour, marker="o", markersize=2.6, label=name)
        start += steps[-1]
    axes.set_xlabel("training steps, all parts together", fontsize=9)
    axes.set_ylabel("loss per answer token", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    page.y += 0.5
    page.text(f"Figure 2: {CAPTIONS[1]}", 9, gap=0.22)


def right(page: Page) -> None:
    axes = page.plot(2.15)
    for place, (name, shares) in enumerate(RIGHT.items()):
        at = [index + 0.26 * (place - 1) for index in range(len(GIVEN))]
        bars = axes.bar(at, shares, 0.24, label=name, color=("#0f766e", "#5eead4", "#a16207")[place])
        axes.bar_label(bars, fontsize=7.5)
    axes.set_xticks(range(len(GIVEN)), GIVEN)
    axes.set_ylabel("charts named rightly (%)", fontsize=9)
    axes.set_ylim(0, 105)
    axes.legend(fontsize=8, frameon=False)
    page.y += 0.32
    page.text(f"Figure 3: {CAPTIONS[2]}", 9, gap=0.22)


def main(out: Path) -> None:
    """Two pages."""
    one, two = Page(), Page()
    one.text(TITLE, 19, bold=True, gap=0.12)
    one.text("The LLaVA-Graph authors", 10.5, gap=0.25)
    one.text("Abstract", 12, bold=True, gap=0.03)
    one.text(ABSTRACT, gap=0.2)
    one.text("1 Charts to learn from", 12, bold=True, gap=0.03)
    one.text(FIRST, gap=0.1)
    kinds(one)
    one.text("2 Training", 12, bold=True, gap=0.03)
    one.text(SECOND)
    loss(two)
    two.text("3 With and without context", 12, bold=True, gap=0.03)
    two.text(THIRD, gap=0.1)
    right(two)
    two.text("4 What this does not show", 12, bold=True, gap=0.03)
    two.text(FOURTH)
    with PdfPages(out, metadata={"Title": TITLE, "Author": "The LLaVA-Graph authors", "CreationDate": None}) as pdf:
        for page in (one, two):
            pdf.savefig(page.figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
