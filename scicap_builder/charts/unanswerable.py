"""Questions that a chart does not answer, and the answer that says so. In: a chart and a random generator. Out: two texts."""

import numpy as np

from scicap_builder.charts.chart import Chart, pick
from scicap_builder.charts.invent import invent_names, invent_quantity
from scicap_builder.charts.vocabulary import words
from scicap_builder.charts.wording import capital, compared, listed, quantity, say

MISSING = words("""the number of participants; the p-value; the sampling error; the name of the author; the cost of the study;
    the year of the study; the software that was used; the sample size; the learning rate; the correlation coefficient;
    the country of the study; the funding; the number of repetitions; the time of day; the age of the subjects; the hardware;
    the significance level; the instrument; the value of the loss; the name of the data set""")
"""What no chart of ours shows."""


def ask_unanswerable(chart: Chart, rng: np.random.Generator) -> tuple[str, str]:
    """(question, answer): about a series, a place or a thing that the figure does not have."""
    style = rng.random()
    if style < 0.35:
        thing = pick(rng, MISSING)
        question = say(rng, "[What is {t}?|What [was|is] {t} here?|Can you tell me {t}?|Give {t}.]", t=thing)
        return question, _refusal(rng, thing)
    if style < 0.7:
        name = next(name for name in invent_names(rng, 8) if name not in compared(chart) + chart.categories)
        where = "" if chart.categories or rng.random() < 0.5 else f" of {quantity(chart.y)}"
        question = say(
            rng,
            "[What is the value{w} for {n}?|How [high|large] is {n}?"
            "|How does {n} [compare|change]?|Where is {n} [highest|lowest]?]",
            n=name,
            w=where,
        )
        return question, _refusal(rng, name, has=listed(compared(chart) or chart.categories))
    thing = quantity(invent_quantity(rng, chart.y))
    question = say(
        rng, "[What is the {t}?|How does the {t} change?|What is the highest {t}?|How large is the {t}?]", t=thing
    )
    return question, _refusal(rng, f"the {thing}")


def _refusal(rng: np.random.Generator, thing: str, has: str = "") -> str:
    shown = f" It shows {has}." if has and rng.random() < 0.4 else ""
    answer = say(
        rng, "[The figure does not show {t}|{t} is not shown in the figure|This cannot be read off: the figure does not show {t}"
        "|The figure says nothing about {t}].", t=thing,
    )  # fmt: skip
    return capital(answer) + shown
