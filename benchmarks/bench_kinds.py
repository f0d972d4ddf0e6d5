"""Scores the classifier of figure kinds on labelled figures of papers it was not trained on, and trains it.

    python -m benchmarks.bench_kinds --data SET [SET …] [--radiographs DIR] [--write]

SET is a data set that `scicap_builder build --route pdf` made from the papers named in `kinds_labels.json`; DIR a folder of
X-ray images, whose names begin with the patient's. One third of the papers (by hash of their names) is never trained on:
the tables are about those. `--write` trains on the other papers and writes `scicap_builder/kinds.json`.
"""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from llava_graph.dataset import read_dataset
from llava_graph.images import open_image
from scicap_builder.kind_words import measure_caption, measure_lines
from scicap_builder.kinds import KINDS, WEIGHTS, measure_pixels, shrunk

LABELS = Path(__file__).with_name("kinds_labels.json")
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "kinds"
PENALTY = 6.0
"""Strength of the ridge in the training objective (sum over figures); chosen by cross-validation among training papers."""
STEPS = 1500
NAMES = tuple(KINDS)

Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled figure, measured."""

    id: str
    paper: str
    kinds: tuple[str, ...]
    """One; of a compound figure every kind that fills a quarter of it or more, the largest first."""
    pixels: Values
    caption: Values
    text: Values

    @property
    def held_out(self) -> bool:
        """Whether the paper is one of those never trained on."""
        return hashlib.sha256(self.paper.encode()).digest()[0] % 3 == 0


NO_CAPTION, NO_TEXT = measure_caption(""), measure_lines(())
VARIANTS: dict[str, Callable[[Sample], Values]] = {
    "picture, caption, text inside": lambda s: s.pixels | s.caption | s.text,
    "picture, caption": lambda s: s.pixels | s.caption | NO_TEXT,
    "picture, text inside": lambda s: s.pixels | NO_CAPTION | s.text,
    "picture alone": lambda s: s.pixels | NO_CAPTION | NO_TEXT,
}
"""What the classifier may be given; it is trained on all four, so that it works with what there is."""


def load(sets: Sequence[Path], radiographs: Path | None) -> tuple[list[Sample], list[float]]:
    """The labelled figures, and the seconds that measuring the pixels of each took."""
    labels = json.loads(LABELS.read_text())["figures"]
    samples: list[Sample] = []
    seconds: list[float] = []

    def add(id_: str, paper: str, kinds: str, image: Image.Image, *told: Values) -> None:
        start = time.process_time()
        pixels = measure_pixels(shrunk(image))
        seconds.append(time.process_time() - start)
        samples.append(Sample(id_, paper, tuple(kinds.split("+")), pixels, *told))

    for figure in (figure for path in sets for figure in read_dataset(path)):
        paper, _, number = figure.id.removeprefix("local:").partition("#fig")
        if kinds := labels.get(paper, {}).get(number):
            image = open_image(figure.image, where=figure.id)  # type: ignore[arg-type]
            add(figure.id, paper, kinds, image, measure_caption(figure.caption), measure_lines(figure.ocr))
    for path in sorted(radiographs.iterdir()) if radiographs else ():
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with Image.open(path) as image:
                image.load()
                add(path.stem, path.stem.rstrip("abc"), "radiograph", image, NO_CAPTION, NO_TEXT)
    return samples, seconds


def table(samples: Sequence[Sample], given: Callable[[Sample], Values], columns: Sequence[str]) -> np.ndarray:
    """Measurements (figures, measurements + 1), the last column 1."""
    rows = [[*(values[name] for name in columns), 1.0] for values in map(given, samples)]
    return np.array(rows)


def fit(samples: Sequence[Sample], columns: Sequence[str], penalty: float = PENALTY) -> np.ndarray:
    """Weights (kinds, measurements + 1) of a ridge multinomial logistic regression, by accelerated gradient descent.

    Every figure counts once, spread over the variants of what is given and over the kinds that it has.
    """
    x = np.concatenate([table(samples, given, columns) for given in VARIANTS.values()])
    share = np.array([[(name in s.kinds) / len(s.kinds) for name in NAMES] for s in samples])
    y = np.tile(share, (len(VARIANTS), 1)) / len(VARIANTS)
    mean, scale = x[:, :-1].mean(0), x[:, :-1].std(0) + 1e-3
    z = np.column_stack(((x[:, :-1] - mean) / scale, x[:, -1]))
    free = np.append(np.ones(len(columns)), 0.0)
    rate = 1 / (0.5 * np.linalg.eigvalsh(z.T @ z / len(VARIANTS)).max() + penalty)
    weights = ahead = np.zeros((len(NAMES), z.shape[1]))
    for step in range(STEPS):
        scores = z @ ahead.T
        chance = np.exp(scores - scores.max(1, keepdims=True))
        chance *= y.sum(1, keepdims=True) / chance.sum(1, keepdims=True)
        new = ahead - rate * ((chance - y).T @ z + penalty * ahead * free)
        ahead = new + step / (step + 3) * (new - weights)
        weights = new
    plain = weights[:, :-1] / scale
    return np.column_stack((plain, weights[:, -1] - plain @ mean))


def guesses(
    weights: np.ndarray, samples: Sequence[Sample], given: Callable[[Sample], Values], columns: Sequence[str]
) -> list[str]:
    """The likeliest kind of each figure."""
    return [NAMES[best] for best in (table(samples, given, columns) @ weights.T).argmax(1)]


def by_caption_words(sample: Sample) -> str:
    """The baseline without a model: the first family of words with which the caption begins; else a chart."""
    order = {
        "begins with microscope": "micrograph",
        "begins with radiology": "radiograph",
        "begins with photograph": "photo",
        "begins with gel": "photo",
        "begins with screen": "text",
        "begins with schematic": "diagram",
        "begins with tree": "diagram",
        "begins with chart": "chart",
        "begins with structure": "diagram",
        "begins with text": "text",
    }
    return next((kind for name, kind in order.items() if sample.caption[name]), "chart")


def shares(samples: Sequence[Sample], found: Sequence[str]) -> str:
    """Cells of the table: share right of all, of figures from papers, mean over kinds, compound figures."""
    right = [guess in s.kinds for guess, s in zip(found, samples, strict=True)]
    single = [(s.kinds[0], hit) for s, hit in zip(samples, right, strict=True) if len(s.kinds) == 1]
    papers = [hit for s, hit in zip(samples, right, strict=True) if len(s.kinds) == 1 and s.caption["captioned"]]
    compound = [hit for s, hit in zip(samples, right, strict=True) if len(s.kinds) > 1]
    kinds = Counter(kind for kind, _ in single)
    mean = np.mean([sum(hit for kind, hit in single if kind == name) / n for name, n in kinds.items()])
    low, high = interval(samples, right)
    return f"{percent(papers)} | {low:.0f}–{high:.0f} | {100 * mean:.1f} | {percent(compound)}"


def interval(samples: Sequence[Sample], right: Sequence[bool]) -> tuple[float, float]:
    """95 % of the share right of single-kind figures from papers, when papers are drawn again and again."""
    papers: dict[str, list[bool]] = {}
    for sample, hit in zip(samples, right, strict=True):
        if len(sample.kinds) == 1 and sample.caption["captioned"]:
            papers.setdefault(sample.paper, []).append(hit)
    counts = np.array([(sum(hits), len(hits)) for hits in papers.values()])
    draws = np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))
    sums = counts[draws].sum(1)
    low, high = np.percentile(100 * sums[:, 0] / sums[:, 1], (2.5, 97.5))
    return float(low), float(high)


def percent(hits: Sequence[bool]) -> str:
    """ "91.3 of 80"."""
    return f"{100 * sum(hits) / len(hits):.1f} of {len(hits)}" if hits else "–"


def confusion(samples: Sequence[Sample], found: Sequence[str]) -> Iterator[str]:
    """Rows: the true kind, columns: the guess; single-kind figures."""
    pairs = Counter((s.kinds[0], guess) for s, guess in zip(samples, found, strict=True) if len(s.kinds) == 1)
    yield "| true \\ guessed | " + " | ".join(NAMES) + " | recall |"
    yield "|---" * (len(NAMES) + 2) + "|"
    for name in NAMES:
        counts = [pairs[name, other] for other in NAMES]
        yield (
            f"| {name} | " + " | ".join(map(str, counts)) + f" | {100 * pairs[name, name] / max(1, sum(counts)):.0f} |"
        )


def report(weights: np.ndarray, columns: Sequence[str], samples: Sequence[Sample]) -> Iterator[str]:
    """The tables, line by line."""
    test = [sample for sample in samples if sample.held_out]
    papers, tested = (len({sample.paper for sample in part}) for part in (samples, test))
    yield f"{len(samples)} figures of {papers} papers (or patients); tested on {len(test)} of {tested}\n"
    yield "| given | right, figures of papers | 95 % (papers redrawn) | mean over kinds | compound: one of its kinds |"
    yield "|---|---|---|---|---|"
    yield f"| baseline: always chart | {shares(test, ['chart'] * len(test))} |"
    yield f"| baseline: words of the caption | {shares(test, [by_caption_words(s) for s in test])} |"
    for name, given in VARIANTS.items():
        yield f"| {name} | {shares(test, guesses(weights, test, given, columns))} |"
    for name in ("picture, caption, text inside", "picture alone"):
        yield f"\n{name}:\n"
        yield from confusion(test, guesses(weights, test, VARIANTS[name], columns))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables; with --write train first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[DATA / "figures"])
    parser.add_argument("--radiographs", type=Path, default=None)
    parser.add_argument("--write", action="store_true", help="train and write scicap_builder/kinds.json")
    args = parser.parse_args(argv)
    if missing := [str(path) for path in args.data if not path.is_dir()]:
        sys.exit(f"no data set at {', '.join(missing)}: build one from the papers of {LABELS.name} and give --data")
    samples, seconds = load(args.data, args.radiographs)
    if args.write:
        columns = tuple(VARIANTS["picture alone"](samples[0]))
        weights = fit([sample for sample in samples if not sample.held_out], columns)
        rounded = [[float(f"{value:.4g}") for value in row] for row in weights]
        WEIGHTS.write_text(json.dumps({"kinds": NAMES, "measurements": columns, "weights": rounded}) + "\n")
    data = json.loads(WEIGHTS.read_text())
    print(*report(np.array(data["weights"]), data["measurements"], samples), sep="\n")
    middle, slow = np.percentile(1000 * np.array(seconds), (50, 95))
    print(f"\npixels: {middle:.1f} ms CPU a figure (median), {slow:.1f} ms at the 95th percentile")


if __name__ == "__main__":
    main()
