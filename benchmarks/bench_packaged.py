"""What the packaged model gets right on charts it has not seen, by the context it is given: `python -m benchmarks packaged`.

Unseen seeds of our own generator: same vocabulary, other data, names and styles. Names count as right when they stand in
the answer letter for letter (case ignored); the echo rows show how far copying the context alone goes.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence

import numpy as np

from llava_graph.explain import Explainer
from llava_graph.generate import GenerationOptions
from llava_graph.prompt import PromptOptions, render_context
from llava_graph.record import Figure
from scicap_builder.charts.corpus import make_figure
from scicap_builder.charts.data import Chart, make_chart
from scicap_builder.charts.facts import highest, lowest

SEED = 9
CONTEXTS = {
    "caption + OCR": PromptOptions(ocr_style="words", table=False, max_context_tokens=256),
    "caption": PromptOptions(ocr_style="words", table=False, ocr=False, max_context_tokens=256),
    "OCR": PromptOptions(ocr_style="words", table=False, caption=False, max_context_tokens=256),
    "figure alone": PromptOptions(ocr_style="words", table=False, caption=False, ocr=False),
}
KIND_WORDS = {
    "line": r"line (chart|plot)|curve",
    "bar": r"bar (chart|plot)|bars?\b",
    "scatter": r"scatter",
    "histogram": r"histogram|distribution",
}
DIRECTIONS = {
    "up": r"\b(ris|increas|grow|positive)",
    "down": r"\b(fall|decreas|drop|decay|negative)",
    "peak": r"\bpeak",
    "valley": r"\bminimum of",
    "flat": r"\b(constant|hardly|no clear)",
}
SHAPES = {
    "rise": "up", "saturate": "up", "positive": "up", "fall": "down", "decay": "down", "negative": "down", "peak": "peak",
    "valley": "valley", "flat": "flat", "none": "flat",
}  # fmt: skip


def main(argv: Sequence[str] = ()) -> None:
    """Print a table: a row per context, the share that is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charts", type=int, default=40)
    parser.add_argument("--model", default=None)
    options = parser.parse_args(argv)
    explainer = Explainer(options.model)
    charts = [
        (make_chart(np.random.default_rng([SEED, index])), make_figure(SEED, index)) for index in range(options.charts)
    ]
    print("| context | chart type | x-axis | y-axis | all series | direction | highest | s/answer |")
    print("|---|---|---|---|---|---|---|---|")
    for name, prompt in CONTEXTS.items():
        start = time.perf_counter()
        answers = [answer(explainer, figure, prompt) for _, figure in charts]
        seconds = (time.perf_counter() - start) / len(charts)
        print(
            row(name, [score(chart, text) for (chart, _), text in zip(charts, answers, strict=True)]),
            f"{seconds:.1f} |",
        )
    echoes = [score(chart, render_context(figure, CONTEXTS["caption + OCR"])) for chart, figure in charts]
    print(row("(context echoed)", echoes), "|")


def answer(explainer: Explainer, figure: Figure, prompt: PromptOptions) -> str:
    """The greedy explanation."""
    return explainer.explain(
        figure, options=prompt, generation=GenerationOptions(max_new_tokens=160, temperature=0)
    ).text


def score(chart: Chart, text: str) -> dict[str, float | None]:
    """1 right, 0 wrong, None where the chart does not ask for it."""
    low = text.lower()
    series = [one.name for one in chart.series if one.name] if len(chart.series) > 1 else []
    return {
        "kind": float(bool(re.search(KIND_WORDS[chart.kind], low))),
        "x": float(chart.x.name.lower() in low) if chart.x.name else None,
        "y": float(chart.y.name.lower() in low) if chart.kind != "histogram" else None,
        "series": float(all(name.lower() in low for name in series)) if series else None,
        "direction": direction(chart, low),
        "numbers": numbers(chart, text),
    }


def direction(chart: Chart, low: str) -> float | None:
    """Whether the words for the course of the curve are right; only where all series share one."""
    wanted = {SHAPES[series.shape] for series in chart.series if series.shape in SHAPES}
    if chart.kind not in ("line", "scatter") or len(wanted) != 1:
        return None
    said = {name for name, pattern in DIRECTIONS.items() if re.search(pattern, low)}
    return float(wanted <= said and (len(said) == 1 or wanted & {"peak", "valley"} != set()))


def numbers(chart: Chart, text: str) -> float | None:
    """Whether the highest (or lowest) value is within a tenth of the range; None when none is given."""
    found = re.search(
        r"(?:highest value|maximum|highest bar)\D*?(?:of |with |is )?about (-?[\d.]+(?:e[-+]?\d+)?)", text
    )
    if not found or chart.kind == "histogram" or chart.log_y:
        return None
    top, bottom = highest(chart).value, lowest(chart).value
    try:
        value = float(found[1].rstrip("."))
    except ValueError:
        return 0.0
    return float(abs(value - top) <= 0.1 * (top - min(bottom, 0 if chart.kind == "bar" else bottom)))


def row(name: str, scores: list[dict[str, float | None]]) -> str:
    """One line of the table."""
    cells = []
    for key in scores[0]:
        values = [value for one in scores if (value := one[key]) is not None]
        cells.append(f"{np.mean(values):.2f} (n={len(values)})" if values else "-")
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
