"""Questions about a figure and their answers, from its data. In: a plate and a random generator. Out: questions with answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.name_questions import ask_count, ask_names, ask_type, ask_x, ask_y
from scicap_builder.charts.question import Question
from scicap_builder.charts.reader_questions import (
    ask_caveat,
    ask_difference,
    ask_end,
    ask_main_trend,
    ask_meaning,
)
from scicap_builder.charts.tracing import Places, ask_list, ask_totals, ask_trace
from scicap_builder.charts.unanswerable import ask_unanswerable
from scicap_builder.charts.value_questions import (
    ask_best,
    ask_crossing,
    ask_highest,
    ask_lowest,
    ask_peak,
    ask_trend,
    ask_value,
)


def ask(plate: Plate, rng: np.random.Generator, count: int) -> list[Question]:
    """`count` different questions with answers (fewer if the figure gives no more); about one of its panels each."""
    found: dict[str, Question] = {}
    makers = [writer for kind, writer in WRITERS.items() for _ in range(REPEATED.get(kind, 1))]
    order = [int(index) for index in rng.permutation(len(makers))]
    for index in order:
        place = int(rng.integers(len(plate.panels)))
        question = makers[index](plate.panels[place], rng)
        if question is not None:
            asked = about_panel(question, plate.letters[place], rng)
            found.setdefault(asked.text, asked)
        if len(found) == count:
            break
    return list(found.values())


def ask_readings(plate: Plate, rng: np.random.Generator, places: Sequence[Places]) -> list[Question]:
    """Up to three questions for whole series: where their values stand (`places`, per panel) and what they are."""
    found: dict[str, Question] = {}
    for _ in range(2 if places else 0):
        panel = int(rng.integers(len(plate.panels)))
        if question := ask_trace(plate.panels[panel], places[panel], rng):
            asked = about_panel(question, plate.letters[panel], rng)
            found.setdefault(asked.text, asked)
    if rng.random() < LISTED_SHARE:
        panel = int(rng.integers(len(plate.panels)))
        chart = plate.panels[panel]
        question = ask_totals(chart, rng) if chart.stacked and rng.random() < 0.5 else ask_list(chart, rng)
        if question:
            asked = about_panel(question, plate.letters[panel], rng)
            found.setdefault(asked.text, asked)
    return list(found.values())


def about_panel(question: Question, letter: str, rng: np.random.Generator) -> Question:
    """The question for one panel of several: its letter in front."""
    if not letter:
        return question
    lower = question.text[:1].lower() + question.text[1:]
    text = pick(rng, (f"In panel ({letter}), {lower}", f"In ({letter}), {lower}", f"Panel {letter}: {question.text}"))
    return replace(question, text=text)


def ask_absent(chart: Chart, rng: np.random.Generator) -> Question:
    """What the figure does not show."""
    text, answer = ask_unanswerable(chart, rng)
    return Question("absent", text, answer)


WRITERS: dict[str, Callable[[Chart, np.random.Generator], Question | None]] = {
    "type": ask_type,
    "x-axis": ask_x,
    "y-axis": ask_y,
    "names": ask_names,
    "count": ask_count,
    "highest": ask_highest,
    "lowest": ask_lowest,
    "trend": ask_trend,
    "crossing": ask_crossing,
    "value": ask_value,
    "best": ask_best,
    "peak": ask_peak,
    "end": ask_end,
    "difference": ask_difference,
    "main": ask_main_trend,
    "meaning": ask_meaning,
    "caveat": ask_caveat,
    "absent": ask_absent,
}
LISTED_SHARE = 0.6
"""Share of figures in which the values of a series are listed."""
REPEATED = {"value": 4, "trend": 2, "crossing": 2, "absent": 2}
"""How often a kind may be asked of one figure: about other series and places."""
