"""Whether answers about drawn charts are right. In: an item and its answers. Out: measure -> values of 0..1."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.overlap import bleu
from benchmarks.packaged_items import Item
from llava_graph.evaluate import find_numbers, number_fidelity, rouge_l
from scicap_builder.charts.chart import Chart
from scicap_builder.charts.facts import value_span
from scicap_builder.charts.question import Question
from scicap_builder.charts.wording import compared

Scores = dict[str, list[float]]

KIND_WORDS = (
    ("roc", r"\broc\b|receiver operating"),
    ("pr", r"precision[- ]recall"),
    ("heatmap", r"heat ?map|confusion matrix"),
    ("box", r"\bbox"),
    ("histogram", r"histogram"),
    ("scatter", r"scatter"),
    ("bar", r"\bbars?\b"),
    ("line", r"\b(line|curve)"),
)
"""The one that an answer holds first is what it says; of two at the same place the upper one."""
COURSES = (
    ("none", r"\bno (clear|trend)|does not depend|not depend"),
    ("peak", r"\bpeak|maximum"),
    ("valley", r"\bminimum|\bdips?\b"),
    ("flat", r"constant|hardly|barely"),
    ("down", r"smaller|lower|\b(fall|decreas|drop|declin|decay|negativ|goes down)"),
    ("up", r"\b(ris|increas|grow|positiv|goes up|climb)|larger|higher"),
)
DIRECTION = {
    "rise": "up", "saturate": "up", "positive": "up", "fall": "down", "decay": "down", "negative": "down", "peak": "peak",
    "valley": "valley", "flat": "flat", "none": "none",
}  # fmt: skip
REFUSAL = re.compile(
    r"not shown|does not show|says nothing|cannot be read|not given|not in the figure|not visible", re.I
)
DECLINED = re.compile(r"\bno(t a)? chart|cannot read this as a chart|image is empty|nothing to see", re.I)
FRAME = re.compile(
    r"^(?:the|a)?\s*(?:[xy]-axis|x axis|y axis|bars|boxes|colour|categories|series|rows|legend|chart)\s+"
    r"(?:shows?|gives?|is|are|lists?|compares?)\s+",
    re.I,
)
NEAR = 0.1
"""Of the axis: how far a place or a highest value may be off."""


def score_item(item: Item, answers: Sequence[str]) -> Scores:
    """All measures that this item allows. Shares of right answers, but for unsupported numbers, refusals and overlaps."""
    scores: Scores = defaultdict(list)
    for question, answer in zip(item.questions, answers, strict=True):
        if question.kind == "explain":
            _score_explanation(item, answer, scores)
        elif item.plate is not None:
            chart = chart_of(item, question)
            _score_answer(chart, question, answer, scores)
    return scores


def chart_of(item: Item, question: Question) -> Chart:
    """The panel that a question is about."""
    if item.plate is None or len(item.plate.panels) == 1:
        return item.plate.panels[0] if item.plate else _no_chart()
    found = re.match(r"(?:In panel|In|Panel) \(?(\w)\)?", question.text)
    letters = [letter.lower() for letter in item.plate.letters]
    return item.plate.panels[letters.index(found[1].lower()) if found else 0]


def _no_chart() -> Chart:
    raise ValueError("a figure that is no chart has no questions about its data")


def _score_explanation(item: Item, answer: str, scores: Scores) -> None:
    declined = float(bool(DECLINED.search(answer)))
    if item.plate is None and "chart" not in item.figure.kind:
        if item.figure.kind:
            scores["declines no-charts"].append(declined)
        return
    sources = [item.figure.caption, " ; ".join(line.text for line in item.figure.ocr), item.figure.first_mention]
    if item.figure.kind == "chart":
        scores["declines charts"].append(declined)
    if item.plate is not None:
        sources += [_data_text(chart) for chart in item.plate.panels]
        scores["ROUGE-L"].append(rouge_l(answer, item.figure.first_mention).f1)
        scores["BLEU-4"].append(bleu(answer, item.figure.first_mention))
        for chart in item.plate.panels[:1]:
            scores["type told"].append(float(said_kind(answer) == chart.kind))
        names = [name for chart in item.plate.panels for name in (_measured(chart), *compared(chart))]
        scores["names told"].append(sum(name.lower() in answer.lower() for name in names) / len(names))
    judged = number_fidelity(answer, sources)
    if judged.numbers:
        scores["unsupported numbers"].append(len(judged.unsupported) / len(judged.numbers))


def _measured(chart: Chart) -> str:
    return chart.x.name if chart.kind == "histogram" else chart.y.name


def _data_text(chart: Chart) -> str:
    numbers = [
        value for series in chart.series for value in (*series.x, *series.y, *(v for box in series.boxes for v in box))
    ]
    if chart.stacked:
        numbers += [sum(column) for column in zip(*(series.y for series in chart.series), strict=True)]
    numbers += [series.area for series in chart.series if series.area is not None]
    return " ; ".join(f"{number:.6g}" for number in numbers)


def said_kind(answer: str) -> str:
    """The kind of chart that an answer names first; empty when it names none."""
    low = answer.lower()
    places = {kind: found.start() for kind, pattern in KIND_WORDS if (found := re.search(pattern, low))}
    return min(places, key=lambda kind: places[kind], default="")


def said_course(answer: str) -> str:
    """The course that an answer tells; empty when it tells none."""
    low = answer.lower()
    return next((course for course, pattern in COURSES if re.search(pattern, low)), "")


def _score_answer(chart: Chart, question: Question, answer: str, scores: Scores) -> None:
    kind = question.kind
    if kind == "absent":
        scores["abstains"].append(float(bool(REFUSAL.search(answer))))
        return
    scores["refuses wrongly"].append(float(bool(REFUSAL.search(answer))))
    if kind == "type":
        scores["type"].append(float(said_kind(answer) == chart.kind))
    elif kind in ("x-axis", "y-axis"):
        scores["axes F1"].append(names_f1(answer, question.key))
    elif kind in ("names", "categories"):
        scores["series F1"].append(names_f1(answer, question.key))
    elif kind == "trend":
        bare = answer.lower()
        for name in (chart.x.name, chart.y.name, *compared(chart)):  # "peak rate falls with pressure drop"
            bare = bare.replace(name.lower(), " ")
        scores["trend"].append(float(said_course(bare) == DIRECTION[question.key[0]]))
    elif kind in ("highest", "lowest"):
        scores["highest, lowest"].append(float(_right_extreme(chart, question, answer)))
    elif kind in ("best", "count"):
        scores[kind].append(float(_names_only(answer, question.key, compared(chart) if kind == "best" else ())))
    elif kind == "crossing":
        scores["crossing"].append(float(_right_crossing(chart, question, answer)))
    elif kind == "value" and question.value is not None:
        _score_value(chart, question.value, answer, scores)
    elif kind == "peak" and question.value is not None:
        scores["peak"].append(float(_near(answer, question.value, chart.x_range)))


def names_f1(answer: str, names: Iterable[str]) -> float:
    """F1 of the names that an answer lists, units and case aside."""
    said = {part for part in _parts(answer) if part}
    true = {name.lower() for name in names}
    both = len({part for part in said if part.lower() in true or plain_name(part) in true})
    return 2 * both / (len(said) + len(true)) if both else 0.0


def _parts(answer: str) -> list[str]:
    bare = FRAME.sub("", answer.strip()).rstrip(".")
    return re.split(r", | and |; | \| |\n", bare)


def plain_name(name: str) -> str:
    """Without unit, case and dots at the end."""
    return re.sub(r"\s*\([^()]*(?:\([^()]*\)[^()]*)*\)$", "", name.strip().rstrip(".")).lower()


def _names_only(answer: str, wanted: Sequence[str], known: Sequence[str]) -> bool:
    """Whether all wanted names are said and no other of the known ones (but for those that are part of a wanted one)."""
    low = answer.lower()
    for name in sorted(set(wanted), key=len, reverse=True):
        if not _says(low, name):
            return False
        low = low.replace(name.lower(), " ")
    return not any(_says(low, name) for name in known if name not in wanted)


def _says(low: str, name: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", low))


def _right_extreme(chart: Chart, question: Question, answer: str) -> bool:
    if question.key:
        return _names_only(answer, question.key, (*chart.categories, *compared(chart)))
    return question.value is not None and _near(answer, question.value, span=value_span(chart), log=chart.log_y)


def _right_crossing(chart: Chart, question: Question, answer: str) -> bool:
    denies = bool(re.search(r"\b(not|no|never)\b", answer.lower()))
    if question.value is None:
        return denies
    return not denies and _near(answer, question.value, chart.x_range, log=chart.log_x, last=True)


def _near(
    answer: str,
    true: float,
    ends: tuple[float, float] = (0.0, 0.0),
    *,
    span: float = 0.0,
    log: bool = False,
    last: bool = False,
) -> bool:
    """Whether the answer's number is within a tenth of the axis; on a logarithmic one, within a factor of 1.5.

    Of several the first ("about 3 mV, at 5 s"), or the `last` ("10 mM and 20 mM cross near 5 s").
    """
    numbers = find_numbers(answer)
    if not numbers:
        return False
    value = numbers[-1 if last else 0].value
    if log:
        return value > 0 and true > 0 and max(value / true, true / value) <= 1.5
    return abs(value - true) <= NEAR * (span or ends[1] - ends[0])


def _score_value(chart: Chart, true: float, answer: str, scores: Scores) -> None:
    """Relative to the value itself (as ChartQA), and to the axis."""
    numbers = find_numbers(answer)
    error = abs(numbers[0].value - true) if numbers else float("inf")
    scores["value 5 %"].append(float(error <= 0.05 * abs(true)))
    scores["value 10 %"].append(float(error <= 0.1 * abs(true)))
    if not chart.log_y:
        scores["value, tenth of axis"].append(float(error <= 0.1 * (value_span(chart) or 1.0)))


def merged(scores: Iterable[Mapping[str, Sequence[float]]]) -> Scores:
    """All values of each measure."""
    joined: Scores = defaultdict(list)
    for one in scores:
        for name, values in one.items():
            joined[name].extend(values)
    return joined
